"""The two views of a step, and Shuffling BN (v1, section 3.3) over processes.

A view is a function of (seed, epoch, image, view), so the process that encodes the key of an image also makes its view:
no finished views travel, only uint8 pixels or nothing at all. It finds the pixels in its own memory where all processes
hold all images; else the process that cut them sends them. For the same reason a view may be made part by part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco import distributed
from moco.data.loader import Batch
from moco.device import Placement
from moco.two_views import KEY, QUERY, Views

Order = NDArray[np.int64]
"""A permutation of the N images of a step."""


@dataclass(frozen=True)
class Unmade:
    """One view of a batch, made where and when it is needed; rows of it are taken as of a tensor."""

    batch: Batch
    number: int
    """Which view: QUERY, KEY, or a small crop's."""
    make: Callable[[Batch, int], Tensor]
    """The view of this number of a batch's images."""
    device: torch.device

    def __len__(self) -> int:
        return len(self.batch.index)

    def __getitem__(self, rows: slice) -> Unmade:
        """The view of some of the images."""
        if rows == slice(0, len(self)):
            return self
        batch = self.batch
        sizes = None if batch.sizes is None else batch.sizes[rows]
        named = None if batch.named is None else replace(batch.named, own=batch.named.own[rows])
        index = batch.index[rows]
        return replace(self, batch=replace(batch, pixels=batch.pixels[rows], sizes=sizes, index=index, named=named))

    def shuffled(self, order: Order) -> Unmade:
        """The view of the images that `order` brings to this process."""
        return replace(self, batch=self._brought(order))

    def _brought(self, order: Order) -> Batch:
        everyone = self.batch.index if distributed.count() == 1 else self.batch.everyone
        assert everyone is not None
        own = order[distributed.own_rows(len(order))]
        index, named = everyone[own], self.batch.named
        named = None if named is None else replace(named, own=named.everyone[own])
        batch = replace(self.batch, index=index, named=named)
        if self.batch.memory is not None:
            pixels, sizes = self.batch.memory.batch(index)
            return replace(batch, pixels=pixels, sizes=sizes)
        if distributed.count() == 1:
            ordered = None if self.batch.sizes is None else self.batch.sizes[order]
            return replace(batch, pixels=distributed.permute(self.batch.pixels, order), sizes=ordered)
        crops = self.batch.pixels
        crops = (crops[:, self.number] if crops.ndim == 5 else crops).to(self.device, non_blocking=True)
        return replace(batch, pixels=distributed.permute(crops, order))


Seen = Tensor | Unmade
"""A view of a batch: made, or not yet."""


def views_of(views: Views, placement: Placement, batch: Batch, parts: int) -> tuple[Seen, Seen]:
    """x_q and x_k of a batch: made, or not yet where other processes make some of them, or not all at a time."""
    keys = batch if batch.keys is None else batch.keys
    if distributed.count() > 1 or parts > 1:
        make = partial(view_of, views, placement)
        return Unmade(batch, QUERY, make, placement.device), Unmade(keys, KEY, make, placement.device)
    if keys is not batch:
        return view_of(views, placement, batch, QUERY), view_of(views, placement, keys, KEY)
    pixels = batch.pixels.to(placement.device, non_blocking=True)
    if batch.sizes is None:
        return views.finish(pixels, batch.index, batch.epoch, placement.memory_format)
    return views(pixels, batch.sizes, batch.index, batch.epoch, placement.memory_format)


def small_views_of(views: Views, placement: Placement, batch: Batch, parts: int) -> list[Seen]:
    """The small crops of a batch that ask as well, likewise."""
    make = partial(view_of, views, placement)
    if distributed.count() > 1 or parts > 1:
        return [Unmade(batch, number, make, placement.device) for number in views.small]
    return [make(batch, number) for number in views.small]


def view_of(views: Views, placement: Placement, batch: Batch, number: int) -> Tensor:
    """View `number` of a batch, on the device (N x 3 x S x S)."""
    pixels = batch.pixels.to(placement.device, non_blocking=True)
    return views.one(number, pixels, batch.sizes, batch.names, batch.epoch, placement.memory_format)


def made(x: Seen) -> Tensor:
    """The view itself (N/P x 3 x S x S)."""
    return x if isinstance(x, Tensor) else x.make(x.batch, x.number)


def shuffled(x: Seen, order: Order) -> Seen:
    """The view in a drawn order over all processes; a view that is made travels as it is, the twin of the other."""
    return distributed.permute(x, order) if isinstance(x, Tensor) else x.shuffled(order)


def rows_of(images: int, parts: int) -> list[slice]:
    """The rows of so many equal parts of a batch, in order."""
    assert images % parts == 0
    share = images // parts
    return [slice(first, first + share) for first in range(0, images, share)]
