"""An image that was opened: its header read, its pixels not yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are decoded; width and height are those of the upright image."""

    width: int
    height: int
    mode: str
    """Pillow's word: L is grey, RGB colour, P a palette, I;16 grey of 16 bits, ..."""


class Opened(Protocol):
    """An image whose header was read, and whose pixels were not yet."""

    @property
    def header(self) -> Header:
        """What it says of itself."""
        ...

    def pixels(self, reduction: int = 1) -> tuple[NDArray[Any], int]:
        """The pixels, H x W x C, upright, and one over the share of their size that they were read at.

        `reduction` (1, 2, 4 or 8) is how many times smaller they may be; only JPEG can be. Raises Unreadable.
        """
        ...


def open_array(values: NDArray[Any]) -> Opened:
    """An image H x W x C that is decoded already, as it is."""
    return _Array(Header(values.shape[1], values.shape[0], str(values.dtype)), values)


@dataclass(frozen=True)
class _Array:
    header: Header
    values: NDArray[Any]

    def pixels(self, reduction: int = 1) -> tuple[NDArray[Any], int]:
        return self.values, 1
