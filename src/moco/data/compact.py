"""Images made small enough to be read fast, with all their bands and bits."""

from __future__ import annotations

import io
from typing import Any

from moco.data.content import kind_of
from moco.data.formats import BEYOND, INSTALL, has
from moco.data.native import open_native
from moco.data.pixels import averaged
from moco.data.values import Values
from moco.errors import MocoError

_SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WebP": "webp", "BMP": "bmp", "TIFF": "tiff", "GIF": "gif", "PPM": "ppm"}
_SUFFIXES |= {one.name: one.suffixes[0][1:] for one in BEYOND}


def suffix_of_kind(raw: bytes) -> str:
    """How a file with these bytes should end."""
    return _SUFFIXES[kind_of(raw) or "TGA"]


def compact_bands(raw: Any, short_side: int) -> tuple[bytes, str]:
    """The bytes and suffix of an image that is no photograph: as it was where it is small enough or has several pages.

    An array of NumPy becomes a TIFF too, as .npy files in shards may be anything.

    Else a TIFF of the same bands and type, losslessly packed, its shorter side averaged down. Raises Unreadable, and
    MocoError where nothing is installed that writes one.
    """
    image = open_native(raw)
    values = image.values()
    height, width = values.shape[:2]
    scale = short_side / min(height, width)
    if isinstance(raw, bytes) and kind_of(raw) != "NumPy" and (scale >= 1 or image.pages > 1):
        return raw, suffix_of_kind(raw)
    if scale < 1:
        values = averaged(values, (max(1, round(width * scale)), max(1, round(height * scale))))
    return as_tiff(values, image.facts.no_data), "tiff"


def as_tiff(values: Values, no_data: float | None) -> bytes:
    """H x W x C values as a TIFF, deflated; raises MocoError where tifffile is missing."""
    if not has("tifffile"):
        raise MocoError(f"bands are packed as TIFF, which takes {INSTALL}")
    import tifffile

    told = [] if no_data is None else [(42113, "s", 0, f"{no_data:g}", True)]
    with io.BytesIO() as file:
        tifffile.imwrite(
            file,
            values if values.shape[2] > 1 else values[..., 0],
            photometric="minisblack",
            planarconfig="contig" if values.shape[2] > 1 else None,
            compression="zlib",
            predictor=True,
            extratags=told,
        )
        return file.getvalue()
