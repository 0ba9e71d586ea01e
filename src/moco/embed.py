"""From images to features: the one loop under every evaluation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from moco import distributed
from moco.data.decode import decode
from moco.data.memory import Skipped
from moco.data.source import Source, Unreadable
from moco.data.workers import from_workers
from moco.device import Placement
from moco.errors import MocoError

Centre = Callable[[NDArray[Any]], Tensor]
"""H x W x 3 uint8 -> 3 x S x S uint8, the middle of the image as the evaluations see it; or as `Preprocess` says."""

_KEEP_BYTES = 1 << 30

BATCH = 256
"""Images that go through an encoder at once; several processes take whole batches, so that all round alike."""


class Prepared:
    """The readable images of a source, cut to one size; kept after the first pass where they fit in 1 GiB.

    `together`: each of several processes holds a contiguous share of them; all must then make each pass.
    """

    def __init__(self, source: Source, centre: Centre, workers: int = 0, *, together: bool = False) -> None:
        self.source = source
        self.centre = centre
        self.workers = workers if len(source) >= 2000 and not _in_memory(source) else 0
        self.together = together
        self.skipped: Skipped = {}
        self._own = range(len(source))[distributed.share(len(source), BATCH)] if together else range(len(source))
        self._kept: Tensor | None = None
        self._kept_index: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._index: list[int] = []

    def batches(self, size: int) -> Iterator[Tensor]:
        """What `centre` made of the readable ones of each `size` positions, in order: n x C x S x S, n <= size."""
        if self._kept is not None:
            cuts = np.searchsorted(self._kept_index, np.arange(self._own.start, self._own.stop + size, size))
            yield from (self._kept[a:b] for a, b in itertools.pairwise(cuts.tolist()) if b > a)
            return
        kept: list[Tensor] = []
        index: list[int] = []
        skipped: Skipped = {}
        centred = _Centred(self.source, self.centre, self._own)
        for items in from_workers(centred, self.workers, batch=size, collate=list):
            good = [item for item in items if isinstance(item[1], Tensor)]
            skipped |= {i: why for i, why in items if isinstance(why, str)}
            index += [i for i, _ in good]
            if not good:
                continue
            batch = torch.stack([image for _, image in good])
            if batch[0].nbytes * len(self._own) <= _KEEP_BYTES:
                kept.append(batch)
            yield batch
        if not self._index:  # the first pass; later ones exchange nothing, for some processes may have kept their share
            self._index = distributed.joined(index) if self.together else index
            self.skipped = distributed.merged(skipped) if self.together else skipped
        if not self._index:
            why = "".join(f" ({self.source.name(i)}: {reason})" for i, reason in [*self.skipped.items()][:1])
            raise MocoError(f"none of the images of {self.source.description} can be read{why}")
        if kept:
            self._kept, self._kept_index = torch.cat(kept), np.array(index, dtype=np.int64)

    @property
    def index(self) -> NDArray[np.int64]:
        """Positions in the source of the images that were readable; known after a pass."""
        return np.array(self._index, dtype=np.int64)

    @property
    def left_out(self) -> str:
        """What there is to say after a pass about images that cannot be read; nothing where all can."""
        if not self.skipped:
            return ""
        first, why = next(iter(self.skipped.items()))
        few = "image cannot be read and is" if len(self.skipped) == 1 else "images cannot be read and are"
        return f"{len(self.skipped):,} {few} left out ({self.source.name(first)}: {why})"


def _in_memory(source: Source) -> bool:
    """Whether the source hands out pixels: then worker processes would only copy them."""
    try:
        return isinstance(source.raw(0), np.ndarray)
    except Unreadable:
        return False


class _Centred(Dataset[tuple[int, Tensor | str]]):
    def __init__(self, source: Source, centre: Centre, positions: range) -> None:
        self.source, self.centre, self.positions = source, centre, positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, item: int) -> tuple[int, Tensor | str]:
        i = self.positions[item]
        try:
            return i, self.centre(decode(self.source.raw(i)))
        except Unreadable as error:
            return i, str(error)


@torch.no_grad()
def embed(
    module: nn.Module,
    images: Prepared,
    normalise: Callable[[Tensor], Tensor],
    placement: Placement,
    batch: int = BATCH,
) -> Tensor:
    """Features of every readable image, N x D, fp32, on the CPU; `module` is put in eval mode while it runs.

    Of images that several processes hold together, each process embeds its share and gets all features.
    """
    was_training = module.training
    module.eval()
    features: list[Tensor] = []
    for pixels in images.batches(batch):
        x = normalise(pixels.to(placement.device)).contiguous(memory_format=placement.memory_format)
        with placement.autocast():
            features.append(module(x).float().cpu())
    module.train(was_training)
    own = torch.cat(features) if features else torch.empty(0, 0)
    return distributed.collect(own) if images.together else own
