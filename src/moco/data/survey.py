"""A quick look at a source: how many images, how large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moco.data.decode import header_size
from moco.data.memory import LONGEST
from moco.data.source import Source, Unreadable
from moco.data.source import sample as spread
from moco.errors import MocoError


@dataclass(frozen=True)
class Survey:
    """Number of images, and from an even sample of them: median short side, largest side, mean area in pixels."""

    images: int
    short_side: int
    longest_side: int
    mean_area: float

    @property
    def decoded_bytes(self) -> float:
        """What all images take as uint8."""
        return 3 * self.mean_area * self.images

    def fits_in_memory(self, gib: float) -> bool:
        """Whether the images are small (256 x 256 pixels on average, no side over LONGEST) and fit in so many GiB."""
        return self.decoded_bytes <= gib * 2**30 and self.mean_area <= 256 * 256 and self.longest_side <= LONGEST


def survey(source: Source, sample: int = 512) -> Survey:
    """Look at the headers of up to `sample` images spread over the source; raises MocoError where none can be read."""
    sizes, reason = [], "no images"
    for i in spread(source, sample):
        try:
            sizes.append(header_size(source.raw(int(i))))
        except Unreadable as error:
            reason = f"{source.name(int(i))}: {error}"
    if not sizes:
        raise MocoError(f"none of the images of {source.description} can be read ({reason})")
    wh = np.array(sizes)
    return Survey(len(source), int(np.median(wh.min(axis=1))), int(wh.max()), float(wh.prod(axis=1).mean()))
