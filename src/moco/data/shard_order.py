"""The order of images in shards: shuffled shards and a bounded shuffle inside, a function of (seed, epoch, position).

An epoch lays the shards one behind the other in a drawn order and cuts this line into LANES equal parts. A step takes
the same number of images from each lane, so a batch mixes as many shards as there are lanes, and a machine that holds
a share of the processes fetches only the shards of its lanes. Within a lane, blocks of WINDOW images are permuted.
Nothing here depends on how many processes or workers read.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from moco.data.order import order
from moco.ops.draw import counter, stream

LANES = 16
"""Places of the line that a step reads from at once: two ranks of eight GPUs, or one disk, are never asked for more."""

WINDOW = 8192
"""Images of a lane among which any may come next."""


class ShardOrder:
    """The order over shards of known sizes; it holds three numbers for each shard."""

    def __init__(self, counts: NDArray[np.int64]) -> None:
        self.counts = counts
        self.first = np.concatenate([[0], np.cumsum(counts)])
        """The number of images before each shard, as they are named."""
        self._line = functools.lru_cache(maxsize=2)(self._lay)

    def __getstate__(self) -> NDArray[np.int64]:
        return self.counts

    def __setstate__(self, counts: NDArray[np.int64]) -> None:
        self.__init__(counts)  # type: ignore[misc]

    def __call__(self, seed: int, epoch: int, positions: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
        """The image at each position of an epoch that is read in steps of `batch`: no image twice."""
        shape, positions = positions.shape, positions.ravel()
        lanes = lanes_of(batch, len(self.counts))
        share, length = batch // lanes, int(self.first[-1]) // lanes
        step, within = np.divmod(positions, batch)
        lane, place = np.divmod(within, share)
        place = step * share + place
        assert place.size == 0 or place.max() < length, "an epoch ends with its last whole batch"
        block = place // WINDOW
        for key in np.unique(lane * (1 << 40) + block):
            rows = np.flatnonzero(lane * (1 << 40) + block == key)
            one_lane, one_block = divmod(int(key), 1 << 40)
            start = one_block * WINDOW
            drawn = int(counter(stream("window"), seed, one_lane, one_block) >> np.uint64(1))
            place[rows] = start + order(min(WINDOW, length - start), drawn, epoch, place[rows] - start)
        return self._image(seed, epoch, lane * length + place).reshape(shape)

    def _image(self, seed: int, epoch: int, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """The image at a place of the epoch's line of shards."""
        shards, ends = self._line(seed, epoch)
        nth = np.searchsorted(ends, place, side="right")
        return self.first[shards[nth]] + place - (ends[nth] - self.counts[shards[nth]])

    def _lay(self, seed: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The shards in the order of an epoch, and where each ends."""
        shards = order(
            len(self.counts), int(counter(stream("shards"), seed) >> np.uint64(1)), epoch, np.arange(len(self.counts))
        )
        return shards, np.cumsum(self.counts[shards])


def lanes_of(batch: int, shards: int) -> int:
    """LANES, or fewer where they do not divide the batch or there are not two shards for each."""
    lanes = math.gcd(batch, LANES)
    while lanes > 1 and shards < 2 * lanes:
        lanes //= 2
    return lanes
