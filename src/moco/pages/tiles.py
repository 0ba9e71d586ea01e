"""Small pictures of a page, each inside the page itself, with what it is called."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from moco.data.decode import decode
from moco.data.names import printable
from moco.data.picture import picture
from moco.data.source import Source, Unreadable

_SIDE = 112


@dataclass(frozen=True)
class Tile:
    """A small picture, as a data: address, and what it is called."""

    picture: str
    name: str
    coarse: bool
    """So few pixels that they are shown as squares."""
    cosine: float | None = None
    copy: bool = False
    """Nearly the same pixels as the image that was searched for."""
    below: str = ""
    """A few words under the picture."""
    missing: str = ""
    """Why there is no picture, in few words; a grey square says so."""


def tile(
    pixels: NDArray[np.uint8], name: str, below: str = "", cosine: float | None = None, copy: bool = False
) -> Tile:
    """A tile of an image H x W x 3, at most 112 px wide and high."""
    image = PIL.Image.fromarray(pixels)
    coarse = max(image.size) <= 64
    image.thumbnail((_SIDE, _SIDE), PIL.Image.Resampling.LANCZOS)
    file = io.BytesIO()
    if coarse:
        image.save(file, "PNG", optimize=True)
    else:
        image.save(file, "JPEG", quality=88)
    kind = "png" if coarse else "jpeg"
    address = f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
    return Tile(address, printable(name), coarse, cosine, copy, below)


def thumbnail(source: Source, i: int, cosine: float | None = None, copy: bool = False, below: str = "") -> Tile:
    """A tile of image i; where it can no longer be read, one that says why."""
    try:
        return tile(picture(decode(source.raw(i))), source.name(i), below, cosine, copy)
    except Unreadable as error:  # it was readable a moment ago
        return Tile("", printable(source.name(i)), False, cosine, copy, below, missing=error.reason)
