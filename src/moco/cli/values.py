"""Flags that say how the values of images are read, for every command that looks at images before it uses them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moco.data.decide import Asked


@dataclass
class Values:
    """What images are made of, where looking at them should not decide it."""

    bands: str | None = None
    """Which bands are learnt from: 0,1,2,7 or gray or rgb; by default all that the files have."""
    range: str | None = None
    """What is black and white: 0,4095, percentile, image, window or shown (DICOM); by default found in the data."""
    no_data: float | None = None
    """A value that says that nothing was measured, such as -9999; by default what a GeoTIFF tells."""
    pages: str | None = None
    """Of files with several images (slices, frames): all, first, middle or max (the brightest); by default all."""
    tiles: int = 0
    """Read images as tiles of so many pixels a side, large TIFFs without decoding them whole."""
    tile_overlap: int = 0
    """Pixels that neighbouring tiles share."""
    tile_skip: float = 0.02
    """Tiles whose values lie within this share of the range are empty, and left out; 0 keeps all."""
    stack: str | None = None
    """One band a file: how their names end, such as 'B{band}.tif'."""

    def asked(self) -> Asked:
        """The same, as the functions behind the commands take it."""
        from moco.data.decide import Asked  # takes seconds

        return Asked(self.bands, self.range, self.no_data, self.pages, self.tiles, self.tile_overlap, self.tile_skip)

    def source(self, data: str) -> str:
        """What `open_source` takes for the images named `data`."""
        return data if self.stack is None else f"stack:{self.stack}:{Path(data).resolve()}"
