"""The values of an image as its file holds them: any number of bands, any depth; and what a file says of itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

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
    rgb_first: bool = False
    """Of more than three bands, the first are said to be red, green and blue."""
    white: float | None = None
    """The largest value, where the file tells how many bits are used."""
    no_data: float | None = None
    window: tuple[float, float] | None = None
    """The values that the file says to show as black and white, as DICOM's window does."""
    own_windows: bool = False
    """Its frames tell several, of which `window` is the middle."""
    curve: str = ""
    """In words, by what else than a straight line the file says to show it: DICOM's sigmoid or table."""
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


def shown_as_told(image: Native) -> Native:
    """An image in shares, float32, from black to white as its file says to show it, where its format can say so."""
    return _Shown(image) if hasattr(image, "shown") else image


class _Shown:
    def __init__(self, image: Any) -> None:
        self._image = image
        self.pages: int = image.pages
        self.facts: Facts = replace(image.facts, type="float32", white=None)

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        shares: Values = self._image.shown(page)
        return shares


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


def writable(values: Values) -> Values:
    """Values that may be written to, as tensors must be: the same, or a copy that lies in memory as they do."""
    return values if values.flags.writeable else values.copy(order="K")


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


def finite(number: object) -> float | None:
    """A number that a file tells, if it is one."""
    try:
        value = float(str(number).strip("\0 "))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
