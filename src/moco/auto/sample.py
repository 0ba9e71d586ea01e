"""Images to try things on: those in memory, or of a larger source a sample, made as small as the views need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moco.data.decode import open_image
from moco.data.memory import LONGEST, Memory, load_memory
from moco.data.opened import Opened, open_array
from moco.data.pixels import averaged
from moco.data.source import Hints, Source, sample
from moco.errors import MocoError

MOST = 4096
"""Images; for a few hundred short steps more would tell nothing new."""


class Shrunk:
    """A sample of a source; each image at most so many pixels on its shorter side, and its middle where it is long."""

    hints = Hints()

    def __init__(self, source: Source, side: int, most: int = MOST) -> None:
        self._source, self._side = source, side
        self._index = sample(source, most)
        self.description = f"a sample of {source.description}"

    def __len__(self) -> int:
        return len(self._index)

    def name(self, i: int) -> str:
        """As in the source."""
        return self._source.name(int(self._index[i]))

    def label(self, i: int) -> str | None:
        """As in the source."""
        return self._source.label(int(self._index[i]))

    def raw(self, i: int) -> NDArray[np.uint8] | Opened:
        """Pixels, h x w x 3, or opened, where the source has other bands or types; raises Unreadable."""
        opened = open_image(self._source.raw(int(self._index[i])))
        least = min(opened.header.height, opened.header.width)
        reduction = next((r for r in (8, 4, 2) if least >= r * self._side), 1)
        pixels, _ = opened.pixels(reduction)
        height, width = pixels.shape[:2]
        scale = min(1.0, self._side / min(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = averaged(pixels, size) if scale < 1 else pixels
        middle = np.ascontiguousarray(small[_middle(small.shape[0]), _middle(small.shape[1])])
        return middle if middle.dtype == np.uint8 and middle.shape[2] == 3 else open_array(middle)


def _middle(length: int) -> slice:
    start = max(0, (length - LONGEST) // 2)
    return slice(start, start + LONGEST)


def sample_in_memory(source: Source, side: int, threads: int) -> Memory:
    """The sample, decoded; raises MocoError where none of it can be read."""
    memory, unreadable = load_memory(Shrunk(source, side), threads)
    if memory is None:
        reason = next(iter(unreadable.values()), "no images")
        raise MocoError(f"none of the images of {source.description} that were tried can be read ({reason})")
    return memory
