"""Batches of annotated images from any step on: what is in them is a function of (seed, step)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from moco import distributed
from moco.data.memory import Skipped
from moco.data.order import order
from moco.data.source import Unreadable
from moco.data.workers import from_workers
from moco.errors import MocoError
from moco.ops import draw
from moco.transfer.kept import Kept
from moco.transfer.layouts.annotated import Annotated, Part
from moco.transfer.parcel import Parcel, packed
from moco.transfer.parts.values import Target
from moco.transfer.recipe import Cropped, Resized, Transfer
from moco.transfer.views import Sample, cropped_sample, resized_sample, resizing


@dataclass(frozen=True)
class Group:
    """Images that share BatchNorm's statistics, or this process's share of them."""

    pixels: Tensor
    """N x C x H x W as in a sample; what is right of and below an image means nothing."""
    sizes: tuple[tuple[int, int], ...]
    targets: tuple[Target, ...]
    labels: Tensor | None
    """uint8, N x H x W: of a semantic task."""


@dataclass(frozen=True)
class Step:
    """The groups of one step that are this process's."""

    groups: tuple[Group, ...]
    skipped: Skipped = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """Which images each step takes: a fresh order each time all have been shown; rare ones may be shown more often."""

    images: int
    batch: int
    seed: int
    often: NDArray[np.float64] | None = None
    """How often each image is shown in a round; None: once."""

    def index(self, step: int) -> NDArray[np.int64]:
        """The images of a step, by position."""
        positions = step * self.batch + np.arange(self.batch, dtype=np.int64)
        if self.often is None:
            rounds = positions // self.images
            return np.concatenate(
                [order(self.images, self.seed, int(r), positions[rounds == r] % self.images) for r in np.unique(rounds)]
            )
        found: list[int] = []
        start = number = 0
        while len(found) < self.batch:
            shown = self._round(number)
            here = positions[(positions >= start) & (positions < start + len(shown))] - start
            if len(here):
                found += shown[order(len(shown), self.seed, number, here)].tolist()
            start, number = start + len(shown), number + 1
        return np.array(found, dtype=np.int64)

    def _round(self, number: int) -> NDArray[np.int64]:
        """Each image as often as it is due, fractions by chance (arXiv:1908.03195, appendix B.2)."""
        assert self.often is not None
        chance = draw.uniform(draw.stream("repeat"), self.seed, number, np.arange(self.images))
        times = np.floor(self.often).astype(np.int64) + (chance < self.often % 1)
        return np.repeat(np.arange(self.images, dtype=np.int64), times)


def repeats(images: tuple[Annotated, ...], least: float) -> NDArray[np.float64]:
    """For each image the largest factor of its categories: sqrt(least / share of images with the category), or 1."""
    present = [{thing.label for thing in one.things} for one in images]
    labels, counts = np.unique([label for one in present for label in one], return_counts=True)
    factor = dict(zip(labels.tolist(), np.maximum(1.0, np.sqrt(least * len(images) / counts)).tolist(), strict=True))
    return np.array([max((factor[label] for label in one), default=1.0) for one in present])


def order_of(recipe: Transfer, part: Part, seed: int) -> Order:
    """The order of a recipe for these images."""
    often = repeats(part.images, recipe.repeat) if recipe.repeat else None
    return Order(len(part.images), recipe.batch, seed, often)


AHEAD = 32
"""Images that each worker prepares beforehand, so that a few that take long do not stop a step; two steps at least."""


class Loader:
    """The steps of a run, prepared by worker processes.

    What they decode they keep, in `memory_gib` GiB together.
    """

    def __init__(self, recipe: Transfer, part: Part, seed: int, workers: int, memory_gib: float = 0.0) -> None:
        self._steps = _Steps(recipe, part, seed, 0, memory_gib * 2**30 / max(workers, 1))
        self._workers = workers

    def epoch(self, step: int) -> int:
        """How many times as many images as there are have been shown before a step."""
        return step * self._steps.recipe.batch // len(self._steps.part.images)

    def steps(self, start: int) -> Iterator[Step]:
        """Steps start, start + 1, ... to the end; raises MocoError where no image can be read."""
        ahead = max(2, AHEAD // self._steps.recipe.batch)
        for found in from_workers(self._steps.since(start), self._workers, ahead=ahead):
            step = found.opened() if isinstance(found, Parcel) else found
            if isinstance(step, MocoError):
                raise step
            yield step


def own_groups(recipe: Transfer) -> list[slice]:
    """The places in a batch of this process's groups; raises MocoError where groups do not fit the processes."""
    groups, processes = recipe.batch // recipe.group, distributed.count()
    if groups % processes == 0:
        first = distributed.number() * (groups // processes)
        return [slice(g * recipe.group, (g + 1) * recipe.group) for g in range(first, first + groups // processes)]
    if groups == 1 and recipe.batch % processes == 0:
        return [distributed.own_rows(recipe.batch)]
    raise MocoError(
        f"--norm-group {recipe.group}: a batch of {recipe.batch} images has {groups} groups, which {processes} "
        "processes can neither share out nor share one of"
    )


def shares_norms(recipe: Transfer) -> bool:
    """Whether all processes hold a part of one group."""
    return distributed.count() > 1 and recipe.group == recipe.batch


class _Steps(Dataset["Step | Parcel | MocoError"]):
    def __init__(self, recipe: Transfer, part: Part, seed: int, start: int, most_kept: float) -> None:
        self.recipe, self.part, self.seed, self.start = recipe, part, seed, start
        self.places = own_groups(recipe)
        self.order = order_of(recipe, part, seed)
        self.kept = Kept(most_kept)

    def since(self, start: int) -> _Steps:
        """The same from another step on, with what is kept."""
        other = copy.copy(self)
        other.start = start
        return other

    def __len__(self) -> int:
        return self.recipe.schedule.steps - self.start

    def __getitem__(self, item: int) -> Step | Parcel | MocoError:
        if item >= len(self):
            raise IndexError(item)
        try:
            step = self._step(self.start + item)
        except MocoError as error:
            return error
        return step if get_worker_info() is None else packed(step)

    def _step(self, step: int) -> Step:
        index = self.order.index(step)
        skipped: Skipped = {}
        return Step(tuple(self._group(step, index, place, skipped) for place in self.places), skipped)

    def _group(self, step: int, index: NDArray[np.int64], place: slice, skipped: Skipped) -> Group:
        rows = range(place.start, place.stop)
        samples = [self._sample(step, row, int(index[row]), skipped) for row in rows]
        if isinstance(self.recipe.views, Cropped):
            labels = [s.labels for s in samples if s.labels is not None]
            stacked = torch.stack([s.pixels for s in samples])
            return Group(stacked, ((stacked.shape[2], stacked.shape[3]),) * len(samples), (), torch.stack(labels))
        sizes = tuple((s.pixels.shape[1], s.pixels.shape[2]) for s in samples)
        first = place.start // self.recipe.group * self.recipe.group
        whole = [self._size(step, row, int(index[row])) for row in range(first, first + self.recipe.group)]
        high, wide = (-(-max(side) // 32) * 32 for side in zip(*whole, *sizes, strict=True))
        one = samples[0].pixels
        pixels = torch.zeros((len(samples), len(one), high, wide), dtype=one.dtype)
        for row, sample in enumerate(samples):
            pixels[row, :, : sizes[row][0], : sizes[row][1]] = sample.pixels
        return Group(pixels, sizes, tuple(s.target for s in samples if s.target is not None), None)

    def _size(self, step: int, row: int, i: int) -> tuple[int, int]:
        assert isinstance(self.recipe.views, Resized)
        how = resizing(self.recipe.views, self.part.images[i], self.seed, step, row)
        return how.height, how.width

    def _sample(self, step: int, row: int, i: int, skipped: Skipped) -> Sample:
        """Image i, or the next one that can be read."""
        count = len(self.part.images)
        for offset in range(count):
            j = (i + offset) % count
            image = self.part.images[j]
            try:
                match self.recipe.views:
                    case Resized() as views:
                        how = resizing(views, image, self.seed, step, row)
                        drawn = int(draw.counter(draw.stream("samples"), self.seed, step, row) >> np.uint64(2))
                        return resized_sample(image, how, self.part.mirrored, drawn, self.kept)
                    case Cropped() as views:
                        return cropped_sample(views, self.part, image, self.seed, step, row, kept=self.kept)
            except Unreadable as error:
                skipped[j] = error.reason
        raise MocoError(f"none of the {count} images can be read ({next(iter(skipped.values()))})")
