"""What a file holds, as it holds it: any number of bands, any depth, any page; not made to look like a photograph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from moco.data.content import kind_of, not_an_image
from moco.data.decode import (
    BEYOND_PILLOW,
    check_sides,
    open_image,
    open_pillow,
    orientation,
    plain_errors,
    plain_reasons,
)
from moco.data.formats import INSTALL, has
from moco.data.opened import Header, Opened
from moco.data.pixels import deep_to_8_bits, to_rgb
from moco.data.source import Unreadable
from moco.recipe.pixels import Type

Values = NDArray[Any]
"""H x W x C, of one of the four types."""


@dataclass(frozen=True)
class Facts:
    """What a file says of itself; width and height are those of the upright image."""

    width: int
    height: int
    bands: int
    """Opacity not counted."""
    type: Type
    colour: bool = True
    """One band that is gray, or three that are red, green and blue, to a person."""
    white: float | None = None
    """The largest value, where the file tells how many bits are used."""
    no_data: float | None = None
    container: str = ""
    """What wrote it, where that says something about the image: GeoTIFF, OME-TIFF, ImageJ, DICOM."""

    @property
    def plain(self) -> bool:
        """Whether it is an ordinary picture of 8 bits."""
        return self.colour and self.type == "uint8"


class Native(Protocol):
    """An opened file whose values were not decoded yet."""

    facts: Facts

    @property
    def pages(self) -> int:
        """Images in the file: pages, slices, frames; raises Unreadable."""
        ...

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        """One page, upright, without opacity (what is transparent is white); raises Unreadable.

        `reduction` (1, 2, 4 or 8) is how many times smaller it may be.
        """
        ...


def open_native(raw: Any) -> Native:
    """Read the header of any file, or take an array H x W or H x W x C, or what was opened; raises Unreadable."""
    if isinstance(raw, np.ndarray):
        return _Array(raw)
    if not isinstance(raw, bytes):
        opened: Native = raw
        return opened
    kind = kind_of(raw)
    if kind == "TIFF" and has("tifffile"):
        from moco.data.tiff import Tiff

        return Tiff(raw)
    if kind in BEYOND_PILLOW and (reason := not_an_image(raw)):
        raise Unreadable(reason)
    if kind == "DICOM":
        from moco.data.dicom import Dicom

        return Dicom(raw)
    if kind == "NIfTI":
        from moco.data.nifti import Nifti

        return Nifti(raw)
    if kind == "JPEG XL":
        return _JPEGXL(raw)
    if kind == "PNG" and raw[24:25] == b"\x10" and raw[25:26] in (b"\2", b"\4", b"\6") and has("imagecodecs"):
        return _DeepPNG(raw)
    return _Pillow(raw)


def type_of(dtype: np.dtype[Any]) -> Type:
    """The type in which values of this one are kept; raises Unreadable where they are no real numbers."""
    match dtype.kind, dtype.itemsize:
        case ("b", _) | ("u", 1):
            return "uint8"
        case ("u", 2):
            return "uint16"
        case ("i", 1 | 2):
            return "int16"
        case ("u" | "i" | "f", _):
            return "float32"
    raise Unreadable(f"values of type {dtype}, not real numbers")


def kept(values: Values) -> Values:
    """Values in their type, true as 255."""
    if values.dtype == bool:
        return np.multiply(values, 255, dtype=np.uint8)
    as_kept: Values = values.astype(type_of(values.dtype), copy=False)
    return as_kept


def on_white(values: Values) -> Values:
    """H x W x C whose last band is opacity, without it: what is transparent is white."""
    most = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1
    opacity: Values = values[..., -1:].astype(np.float32) / np.float32(most)
    if opacity.min() == 1:
        return values[..., :-1]
    over = values[..., :-1] * opacity + most * (1 - opacity)
    return np.asarray(np.rint(over) if values.dtype.kind == "u" else over).astype(values.dtype)


def turned(values: Values, orientation: int) -> Values:
    """H x W x C stored in one of the eight orientations, upright."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


class _Array:
    """Values that were never in a file."""

    def __init__(self, values: Values) -> None:
        self._values = values if values.ndim == 3 else values[..., None]
        height, width, bands = self._values.shape
        check_sides(width, height)
        self.facts = Facts(width, height, bands, type_of(values.dtype), colour=bands in (1, 3))
        self.pages = 1

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        return kept(self._values)


_BANDS = {"L": 1, "LA": 1, "La": 1, "1": 1, "F": 1}


class _Pillow:
    """A file that Pillow reads."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._opened: Opened = open_image(raw)
        header = self._opened.header
        deep: Type = "uint16" if header.mode.startswith("I") else "float32" if header.mode == "F" else "uint8"
        bands = 1 if header.mode.startswith("I") else _BANDS.get(header.mode, 3)
        self.facts = Facts(header.width, header.height, bands, deep)

    @property
    def pages(self) -> int:
        if kind_of(self._raw) not in _ANIMATED:
            return 1
        with plain_reasons(self._raw):
            return int(getattr(open_pillow(self._raw), "n_frames", 1))

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        if page == 0 and self.facts.type == "uint8":
            pixels = self._opened.pixels(reduction)[0]
            return pixels if self.facts.bands == 3 else pixels[..., :1]
        with plain_reasons(self._raw):
            image: Image.Image = open_pillow(self._raw)
            image.seek(page)
            if self.facts.type == "uint8":
                flat = on_white(np.asarray(image.convert("RGBA")))
                return flat if self.facts.bands == 3 else flat[..., :1]
            values = np.asarray(image)[..., None]
            if values.dtype.kind == "i":  # 16 bits that Pillow hands out in 32
                if values.min() < 0 or values.max() > 65535:
                    raise Unreadable(f"values from {values.min()} to {values.max()}, which takes {INSTALL}")
                values = values.astype(np.uint16)
            return kept(values if image.format == "TIFF" else turned(values, orientation(image)))


_ANIMATED = ("GIF", "WebP", "TIFF")


class _DeepPNG:
    """A PNG of 16 bits in colour, or with opacity, of which Pillow would give 8."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        header = open_image(raw).header
        self._bands = {2: 3, 4: 2, 6: 4}[raw[25]]
        self.facts = Facts(header.width, header.height, 3 if self._bands > 2 else 1, "uint16")
        self.pages = 1

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        import imagecodecs

        with plain_reasons(self._raw):
            values = imagecodecs.png_decode(self._raw)
            return on_white(values) if self._bands in (2, 4) else values


class _JPEGXL:
    """A JPEG XL: decoded when it is opened, as nothing here reads its header alone."""

    def __init__(self, raw: bytes) -> None:
        import imagecodecs

        with plain_errors("JPEG XL"):
            values = imagecodecs.jpegxl_decode(raw)
        values = values if values.ndim == 3 else values[..., None]
        check_sides(values.shape[1], values.shape[0])
        self._values = on_white(values) if values.shape[2] in (2, 4) else values
        height, width, bands = self._values.shape
        self.facts = Facts(width, height, bands, type_of(values.dtype), colour=bands in (1, 3))
        self.pages = 1

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        return kept(self._values)


def as_photograph(image: Native) -> Opened:
    """Any file as an RGB picture of 8 bits, by its own range where it is deeper; for data sets of photographs."""
    return _Photograph(image)


class _Photograph:
    def __init__(self, image: Native) -> None:
        self._image, facts = image, image.facts
        if not facts.colour:
            raise Unreadable(f"{facts.bands} bands are no photograph; --bands chooses those to see")
        gray = {"uint8": "L", "uint16": "I;16"}.get(facts.type, "F")
        self.header = Header(facts.width, facts.height, "RGB" if facts.bands == 3 else gray)

    def pixels(self, reduction: int = 1) -> tuple[Values, int]:
        values = self._image.values()
        if values.dtype != np.uint8:
            values = deep_to_8_bits(np.nan_to_num(values))
        return to_rgb(values), 1


def finite(number: object) -> float | None:
    """A number that a file tells, if it is one."""
    try:
        value = float(str(number).strip("\0 "))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
