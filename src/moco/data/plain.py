"""What is wrong with a file, in plain words, and which sizes are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from moco.data.content import kind_of, not_an_image
from moco.data.quiet import quiet
from moco.data.source import Unreadable

LEAST_SIDE = 4
MOST_SIDE = 16_384
MOST_RATIO = 32
"""Sides outside these limits, in pixels, are refused before a pixel is decoded."""


def check_sides(width: int, height: int) -> None:
    """Raise Unreadable for an image too small, too large or too elongated to be learnt from, by its header."""
    short, long = min(width, height), max(width, height)
    if short < LEAST_SIDE:
        raise Unreadable(f"too small: {width} x {height} pixels, a side has at least {LEAST_SIDE}")
    if long > MOST_SIDE:
        raise Unreadable(f"too large: {width} x {height} pixels, a side has at most {MOST_SIDE:,}")
    if long > MOST_RATIO * short:
        raise Unreadable(f"too elongated: {width} x {height} pixels, one side is over {MOST_RATIO} times the other")


@contextmanager
def plain_reasons(raw: bytes) -> Iterator[None]:
    """Turn whatever Pillow raises on this file into Unreadable with a plain reason."""
    if reason := not_an_image(raw):
        raise Unreadable(reason)
    with plain_errors(kind_of(raw)), quiet():
        yield


@contextmanager
def plain_errors(kind: str | None) -> Iterator[None]:
    """Turn whatever a reader raises on a file of this kind into Unreadable with a plain reason."""
    try:
        yield
    except Unreadable:
        raise
    except Image.DecompressionBombError as error:
        pixels, limit = (int(number) for number in re.findall(r"\d+", str(error))[:2])
        raise Unreadable(f"too large: {pixels:,} pixels, {limit:,} are safe to decode") from None
    except UnidentifiedImageError:
        also = ", or one that is no photograph" if kind == "TIFF" else ""
        raise Unreadable(f"truncated or damaged {kind}{also}" if kind else "not an image") from None
    except MemoryError:
        raise Unreadable("too large for the memory of this machine") from None
    except Exception as error:  # broken files make Pillow raise almost anything: OSError, SyntaxError, struct.error ...
        text = str(error)
        if "truncated" in text.lower() or isinstance(error, EOFError):
            raise Unreadable(f"truncated {kind or 'image'}") from None
        raise Unreadable(f"damaged {kind or 'image'} ({text or type(error).__name__})") from None
