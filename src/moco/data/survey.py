"""A quick look at a source: how many images, how large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moco.data.memory import LONGEST
from moco.data.native import open_native
from moco.data.source import Source, Unreadable, native
from moco.data.source import sample as spread
from moco.data.values import Facts
from moco.errors import MocoError

BESIDE_A_GPU = 256
"""Side of the square that images kept in memory have at most, on average, where a GPU trains."""


@dataclass(frozen=True)
class Survey:
    """Number of images, and from an even sample of them: median short side, largest side, mean area in pixels."""

    images: int
    short_side: int
    longest_side: int
    mean_area: float
    looks: tuple[tuple[int, Facts], ...] = ()
    """Position of each image that was looked at, and what its file says of itself."""
    paged: int = 0
    """How many of these have several pages."""
    pixel_bytes: int = 3
    """What a pixel takes in memory."""

    @property
    def decoded_bytes(self) -> float:
        """What all images take decoded."""
        return self.pixel_bytes * self.mean_area * self.images

    def fits_in_memory(self, gib: float, device: str) -> bool:
        """Whether the images are small (no side over LONGEST) and fit in so many GiB, for work on this kind of device.

        Beside a GPU processes have the processors to cut the crops of larger ones, and fewer bytes go there.
        """
        small = self.mean_area <= (LONGEST if device == "cpu" else BESIDE_A_GPU) ** 2
        return small and self.decoded_bytes <= gib * 2**30 and self.longest_side <= LONGEST


def survey(source: Source, sample: int = 512) -> Survey:
    """Look at the headers of up to `sample` images spread over the source; raises MocoError where none can be read."""
    looks, reason, paged = [], "no images", 0
    for i in spread(source, sample):
        try:
            raw = native(source, int(i))
            image = open_native(raw)
            looks.append((int(i), image.facts))
            paged += image.pages > 1
        except Unreadable as error:
            reason = f"{source.name(int(i))}: {error}"
    if not looks:
        raise MocoError(f"none of the images of {source.description} can be read ({reason})")
    wh = np.array([(facts.width, facts.height) for _, facts in looks])
    short, area = int(np.median(wh.min(axis=1))), float(wh.prod(axis=1).mean())
    return Survey(len(source), short, int(wh.max()), area, tuple(looks), paged=paged)
