"""What images are made of: decided once for a data set, kept in the recipe, and used by whatever reads an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from moco.errors import MocoError

Type = Literal["uint8", "uint16", "int16", "float32"]
"""How a value is kept, in memory and on the way to the device."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Bands, the type of their values, and which values are black and white: of a data set, not of an image."""

    colour: Literal["bands", "gray", "rgb"] = "bands"
    """`bands`: the numbers of the files. `gray` and `rgb`: as a person sees them, whatever each file holds."""
    bands: tuple[int, ...] = (0,)
    """Which bands of a file are the channels, counted from 0, in this order; where `gray` is of several, which."""
    of: int = 1
    """How many bands a file has; one with another number is named and left out."""
    kind: Literal["uint8", "uint16", "int16", "float32"] = "uint8"
    black: tuple[float, ...] = (0.0,)
    """For each channel the value that becomes 0."""
    white: tuple[float, ...] = (255.0,)
    """And the value that becomes 1; what lies beyond the two is clipped."""
    own_range: bool = False
    """Each image from its own darkest to its own brightest value instead."""
    shown: bool = False
    """Each file as it says to be shown (DICOM's window, sigmoid or table, frame by frame): shares from 0 to 1."""
    no_data: float | None = None
    """A value that says that nothing was measured; it becomes black, as does what is not finite."""
    pages: Literal["first", "all", "middle", "max"] = "first"
    """Of a file with several images (pages, slices, frames): which are learnt from; `max`: the brightest, as one."""
    tiles: int = 0
    """Side in pixels of the tiles that images are read as; 0: they are read whole."""
    overlap: int = 0
    """Pixels that neighbouring tiles share."""
    skip: float = 0.0
    """Tiles whose values lie within this share of the range from black to white are empty, and left out."""

    @property
    def channels(self) -> int:
        """How many there are."""
        return {"gray": 1, "rgb": 3}.get(self.colour, len(self.bands))

    @property
    def bytes(self) -> int:
        """Of a pixel, all channels together."""
        return self.channels * {"uint8": 1, "uint16": 2, "int16": 2, "float32": 4}[self.kind]

    @property
    def scale(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """For each channel (gain, offset): gain * value + offset lies in [0, 1]."""
        gain = tuple(1 / (w - b) for b, w in zip(self.black, self.white, strict=True))
        return gain, tuple(-b * g for b, g in zip(self.black, gain, strict=True))


def channels_of(pixels: Pixels | None) -> int:
    """How many channels images have; 3 where nothing else is said."""
    return 3 if pixels is None else pixels.channels


def check_pixels(p: Pixels) -> None:
    """Refuse what cannot be read, with a MocoError that names the flag."""
    if p.colour != "rgb" and (not p.bands or min(p.bands) < 0 or max(p.bands) >= p.of):
        raise MocoError(f"--pixels.bands {' '.join(map(str, p.bands))}: bands of a file are 0 to {p.of - 1}")
    if not len(p.black) == len(p.white) == p.channels:
        raise MocoError(
            f"--pixels.black and --pixels.white have {len(p.black)} and {len(p.white)} values for {p.channels} channels"
        )
    if p.tiles and not (p.tiles >= 16 and 0 <= p.overlap < p.tiles and 0 <= p.skip <= 1):
        raise MocoError(
            f"--tiles {p.tiles} with --tile-overlap {p.overlap} and --tile-skip {p.skip:g}: at least 16 px a side, an "
            "overlap below that, a share to skip between 0 and 1"
        )
    for black, white in zip(p.black, p.white, strict=True):
        if not (math.isfinite(black) and math.isfinite(white) and black < white):
            raise MocoError(f"--pixels.black {black:g}, --pixels.white {white:g}: black is less than white")
