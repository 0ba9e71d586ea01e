"""Pictures of 8 bits: what Pillow reads, JPEG faster than by Pillow, and arrays."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from moco.data.formats import register
from moco.data.opened import Header, Opened
from moco.data.pixels import deep_to_8_bits, to_rgb
from moco.data.plain import check_sides, plain_reasons
from moco.data.source import Unreadable

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "HEIF", "AVIF", "JPEG2000", "ICO", "TGA")
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""


def open_picture(raw: bytes | NDArray[np.uint8]) -> Opened:
    """Read the header of a file that Pillow reads, or take an array; raises Unreadable."""
    return _File(raw) if isinstance(raw, bytes) else _Array(raw)


class _Array:
    """Pixels that were never encoded."""

    def __init__(self, values: NDArray[np.uint8]) -> None:
        self.header = _array_header(values)
        self._values = values

    def pixels(self, reduction: int = 1) -> tuple[NDArray[np.uint8], int]:
        return to_rgb(self._values), 1


class _File:
    """An encoded file in memory."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        with plain_reasons(raw):
            self._image = open_pillow(raw)
            refuse_more_bands(self._image)
            self.header, self._orientation = _header(self._image), orientation(self._image)

    def pixels(self, reduction: int = 1) -> tuple[NDArray[np.uint8], int]:
        image, width = self._image, self._image.width
        with plain_reasons(self._raw):
            if image.format == "JPEG" and image.mode in ("RGB", "L"):
                reduction = reduction if self._may_shrink(reduction) else 1
                if (pixels := jpeg_pixels(self._raw, image.width, image.height, reduction)) is not None:
                    return self._upright(pixels), reduction
                image.draft(image.mode, (-(-image.width // reduction), -(-image.height // reduction)))
            image.load()
            return self._upright(image_pixels(image)), -(-width // image.width)

    def _may_shrink(self, reduction: int) -> bool:
        """Where the last pixel of a side would stand for less than the others, only if it stays the last."""
        whole = self._image.width % reduction == 0 and self._image.height % reduction == 0
        return reduction > 1 and (whole or self._orientation == 1)

    def _upright(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._orientation not in _UPRIGHT or self._image.format == "TIFF":  # Pillow turns TIFF itself as it loads
            return pixels
        return np.array(Image.fromarray(pixels).transpose(_UPRIGHT[self._orientation]))


def jpeg_pixels(raw: bytes, width: int, height: int, reduction: int) -> NDArray[np.uint8] | None:
    """A grey or colour JPEG by simplejpeg: bit for bit Pillow's pixels, in half the time.

    None where it is not installed or refuses the file: Pillow will say in plain words what is wrong, or reads it.
    """
    if (simplejpeg := _simplejpeg()) is None:
        return None
    least = (-(-height // reduction), -(-width // reduction))
    try:
        pixels = simplejpeg.decode_jpeg(raw, "RGB", min_height=least[0], min_width=least[1], min_factor=1)
    except ValueError:
        return None
    return pixels if pixels.shape[:2] == least else None


@cache
def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def image_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of an image that Pillow has opened, of any mode; raises ValueError where a mode has no colours."""
    if image.mode.startswith("I") or image.mode == "F":
        return to_rgb(deep_to_8_bits(np.asarray(image)))
    if "transparency" in image.info:  # a palette entry, or a colour, that stands for nothing
        return to_rgb(np.asarray(image.convert("RGBA")))
    match image.mode:
        case "RGB" | "L" | "RGBA" | "LA":
            return to_rgb(np.asarray(image))
        case "RGBa" | "PA":
            return to_rgb(np.asarray(image.convert("RGBA")))
        case "La":
            return to_rgb(np.asarray(image.convert("LA")))
        case _:  # 1, P, CMYK (Adobe's inverted ink is put right by the JPEG reader), YCbCr, HSV
            return to_rgb(np.asarray(image.convert("RGB")))


@cache
def _formats() -> tuple[str, ...]:
    """Those of Pillow's formats that are read and there."""
    register()
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def open_pillow(raw: bytes) -> Image.Image:
    """The image with its header read and its sides found within the limits."""
    image = Image.open(io.BytesIO(raw), formats=_formats())
    check_sides(*image.size)
    return image


_COLOURS = {2: 3, 5: 4, 6: 3, 8: 3}
"""Samples of a pixel that are its colour: RGB, CMYK, YCbCr, Lab."""


def refuse_more_bands(image: Image.Image) -> None:
    """Raise Unreadable for a TIFF with more bands than colours and opacity, which Pillow drops without a word."""
    tags: Any = getattr(image, "tag_v2", None) if image.format == "TIFF" else None
    if tags is None:
        return
    samples, extra = int(tags.get(_SAMPLES, 1)), tags.get(_EXTRA, ())
    more = samples - _COLOURS.get(tags.get(_PHOTOMETRIC), 1)
    first = extra[0] if isinstance(extra, tuple) and extra else extra
    if more > 1 or (more == 1 and first not in (1, 2)):
        raise Unreadable(f"{samples} bands are no photograph; --bands chooses those to see")


_PHOTOMETRIC, _SAMPLES, _EXTRA = 262, 277, 338


def _header(image: Image.Image) -> Header:
    width, height = image.size
    if image.format == "TIFF":  # whether Pillow's size is that of the upright image differs between versions
        tags = image.getexif()
        width, height = tags.get(_WIDTH, width), tags.get(_HEIGHT, height)
    if orientation(image) >= 5:
        width, height = height, width
    return Header(width, height, image.mode)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8. Broken EXIF says nothing, and spoils nothing."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # to look for EXIF behind the pixels, Pillow would decode them
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # whatever Pillow's EXIF reader meets in broken bytes
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _array_header(pixels: NDArray[np.uint8]) -> Header:
    assert pixels.dtype == np.uint8
    assert pixels.ndim in (2, 3)
    height, width = pixels.shape[:2]
    check_sides(width, height)
    return Header(width, height, "RGB" if pixels.ndim == 3 and pixels.shape[2] >= 3 else "L")
