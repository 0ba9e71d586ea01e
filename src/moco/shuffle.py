"""Shuffling BN (v1, section 3.3) over processes: no finished views travel, only uint8 pixels or nothing at all.

A view is a function of (seed, epoch, image, view), so the process that encodes the key of an image also makes its view.
It finds the pixels in its own memory where all processes hold all images; else the process that cut them sends them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco import distributed
from moco.data.loader import Batch

Order = NDArray[np.int64]
"""A permutation of the N images of a step."""


@dataclass(frozen=True)
class Unmade:
    """One view of a batch, made where and when it is needed."""

    batch: Batch
    number: int
    """Which view: QUERY or KEY."""
    make: Callable[[Batch, int], Tensor]
    """The view of this number of a batch's images."""
    device: torch.device

    def __len__(self) -> int:
        return len(self.batch.index)

    def in_order(self) -> Tensor:
        """The view of this process's images, N/P x 3 x S x S."""
        return self.make(self.batch, self.number)

    def shuffled(self, order: Order) -> Tensor:
        """The view of the images that `order` brings to this process."""
        return self.make(self._brought(order), self.number)

    def _brought(self, order: Order) -> Batch:
        assert self.batch.everyone is not None
        index = self.batch.everyone[order][distributed.own_rows(len(order))]
        if self.batch.memory is not None:
            pixels, sizes = self.batch.memory.batch(index)
            return replace(self.batch, pixels=pixels, sizes=sizes, index=index)
        crops = self.batch.pixels[:, self.number].to(self.device, non_blocking=True)
        return replace(self.batch, pixels=distributed.permute(crops, order), index=index)


def in_order(x: Tensor | Unmade) -> Tensor:
    """The view (N/P x 3 x S x S) in the order of the batch."""
    return x if isinstance(x, Tensor) else x.in_order()


def shuffled(x: Tensor | Unmade, order: Order) -> Tensor:
    """The view in a drawn order over all processes; a view that is made travels as it is, the twin of the above."""
    return distributed.permute(x, order) if isinstance(x, Tensor) else x.shuffled(order)
