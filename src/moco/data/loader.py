"""Batches in a drawn order, from any step on: what is in a batch is a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from moco.data.cutting import Cutter, cut_all
from moco.data.groups import Groups
from moco.data.memory import Memory, Skipped
from moco.data.order import order
from moco.data.partners import Met, Names, Partners
from moco.data.source import Sharded, Source
from moco.data.workers import from_workers
from moco.errors import MocoError
from moco.recipe import Recipe

_ALL, _QUERY, _KEY = slice(None), slice(0, 1), slice(1, 2)
"""Which of the views of an image are cut."""

LOOKS, FEWEST_LOOKS, SOON = 20, 4, 200
"""Looks at the encoder in a run counted in steps; fewer, but four, where they would be less than 200 steps apart."""

READY = 2
"""Batches that each process has made or makes before they are taken."""

AHEAD = 64
"""Steps for which shards are fetched beforehand."""


def apart(steps: int) -> int:
    """Steps between two looks in a run that is counted in steps and has so many: a look costs about ten of them."""
    return max(1, steps // LOOKS, min(steps // FEWEST_LOOKS, SOON))


@dataclass(frozen=True)
class Plan:
    """Which images each step takes: a fresh order each epoch, the incomplete last batch left out."""

    images: int
    batch: int
    epochs: int | None
    seed: int
    length: int | None = None
    """Steps of the whole run, where it is not counted in epochs."""
    sharded: Sharded | None = None
    """Images whose order follows their shards."""
    process: int = 0
    processes: int = 1
    """Each of several processes takes its contiguous share of every batch; which images those are changes nothing."""
    partners: Partners | None = None
    """Of which images key views are made, where that is not the query's own."""

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        source: Source,
        process: int = 0,
        processes: int = 1,
        groups: Groups | None = None,
    ) -> Plan:
        """The plan of a recipe for these images, of these groups, as one of several processes follows it."""
        sharded = source if isinstance(source, Sharded) and not source.any_order else None
        partners = None
        if recipe.groups is not None and groups is not None:
            partners = Partners(groups, recipe.groups.positives, recipe.seed)
        return cls(
            len(source), recipe.batch, recipe.epochs, recipe.seed, recipe.steps, sharded, process, processes, partners
        )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the data set."""
        return self.images // self.batch

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        if self.length is not None:
            return self.length
        assert self.epochs is not None, "a run has a length in epochs or in steps"
        return self.steps_per_epoch * self.epochs

    @property
    def round(self) -> int:
        """Steps between two looks at the encoder: an epoch, or of a run that is counted in steps see `apart`."""
        return self.steps_per_epoch if self.length is None else apart(self.length)

    @property
    def rounds(self) -> int:
        """How many such looks the run has room for."""
        return self.steps // max(self.round, 1)

    def epoch(self, step: int) -> int:
        """The epoch a step belongs to, counted from 0."""
        return step // self.steps_per_epoch

    def index(self, step: int) -> NDArray[np.int64]:
        """The images of a step that are this process's, by position in the source."""
        return self.at(step, np.arange(self.batch)[self.own])

    def everyone(self, step: int) -> NDArray[np.int64]:
        """The images of a step, of all processes, in their order."""
        return self.at(step, np.arange(self.batch))

    @property
    def own(self) -> slice:
        """This process's part of a batch."""
        share = self.batch // self.processes
        return slice(self.process * share, (self.process + 1) * share)

    def met(self, step: int) -> Met | None:
        """The images that the keys of a step are made of; None where they are those of the queries."""
        if self.partners is None:
            return None
        everyone, names = self.partners.of(self.everyone(step), self.epoch(step))
        own = slice(self.own.start * self.partners.count, self.own.stop * self.partners.count)
        return Met(everyone[own], everyone, Names(names[own], names))

    def at(self, step: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The images at these places of the whole batch of a step."""
        positions = step % self.steps_per_epoch * self.batch + places
        if self.sharded is not None:
            return self.sharded.order(self.seed, self.epoch(step), positions, self.batch)
        return order(self.images, self.seed, self.epoch(step), positions)


@dataclass(frozen=True)
class Batch:
    """The images of one step: whole and padded, with their sizes; or already cut into crops (sizes is None)."""

    pixels: Tensor
    """N x C x H x W, or crops N x V x C x S x S; uint8, or of the type of the recipe's pixels."""
    sizes: NDArray[np.int64] | None
    index: NDArray[np.int64]
    epoch: int
    skipped: Skipped
    """What this batch found unreadable."""
    everyone: NDArray[np.int64] | None = None
    """The images of the step, of all processes, in their order."""
    memory: Memory | None = None
    """Where this process finds any image, if it holds all."""
    keys: Batch | None = None
    """What key views are made of, P for each query; None: of these same images."""
    named: Names | None = None
    """What the draws of each view are named by; None: by its image."""
    beyond: frozenset[int] = frozenset()
    """Images of which much was found to lie beyond the range of the data set."""

    @property
    def names(self) -> NDArray[np.int64]:
        """What the draws of each view are named by."""
        return self.index if self.named is None else self.named.own


class Loader(Protocol):
    """Something that gives the batches of a plan."""

    def batches(self, plan: Plan, start: int) -> Iterator[Batch]:
        """The batches of steps start, start + 1, ... to the end of the plan."""
        ...


class MemoryLoader:
    """Batches of images that are kept in memory."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def batches(self, plan: Plan, start: int) -> Iterator[Batch]:
        """Whole images, padded to the largest of the batch."""
        for step in range(start, plan.steps):
            everyone = plan.everyone(step)
            index = everyone[plan.own]
            pixels, sizes = self.memory.batch(index)
            batch = Batch(pixels, sizes, index, plan.epoch(step), {}, everyone, self.memory)
            if (met := plan.met(step)) is None:
                yield batch
                continue
            pixels, sizes = self.memory.batch(met.own)
            keys = replace(batch, pixels=pixels, sizes=sizes, index=met.own, everyone=met.everyone, named=met.names)
            yield replace(batch, keys=keys)


class WorkerLoader:
    """Batches that worker processes decode and cut into crops."""

    def __init__(self, source: Source, cutter: Cutter, workers: int) -> None:
        self.source = source
        self.cutter = cutter
        self.workers = workers

    def batches(self, plan: Plan, start: int) -> Iterator[Batch]:
        """Crops, cut by the workers; raises MocoError where no image can be read."""
        for batch in from_workers(_Steps(self.source, self.cutter, plan, start), self.workers, ahead=READY):
            if isinstance(batch, MocoError):
                raise batch
            _beyond(self.source).update(batch.beyond)
            yield batch


def _beyond(source: Source) -> set[int]:
    """Images that the source has found to lie beyond the range, where it looks for that."""
    found: set[int] = getattr(source, "beyond", set())
    return found


class _Steps(Dataset[Batch | MocoError]):
    """Item i is the batch of step `start` + i, or what there is to say instead."""

    def __init__(self, source: Source, cutter: Cutter, plan: Plan, start: int) -> None:
        self.source, self.cutter, self.plan, self.start = source, cutter, plan, start

    def __len__(self) -> int:
        return self.plan.steps - self.start

    def __getitem__(self, item: int) -> Batch | MocoError:
        try:
            batch = self._batch(item)
        except MocoError as error:  # raised in a worker, it would come with a page of its history
            return error
        beyond = _beyond(self.source)
        batch = replace(batch, beyond=frozenset(beyond))
        beyond.clear()  # the main process keeps them
        return batch

    def _batch(self, item: int) -> Batch:
        step = self.start + item
        if step >= self.plan.steps:
            raise IndexError(item)
        epoch, everyone = self.plan.epoch(step), self.plan.everyone(step)
        index = everyone[self.plan.own]
        if self.plan.sharded is not None:
            for coming in range(step, min(step + AHEAD, self.plan.steps), AHEAD // 8):
                self.plan.sharded.expect(self.plan.index(coming))
        skipped: Skipped = {}
        cutter, met = self.cutter.at(step, self.plan.steps), self.plan.met(step)
        if met is None:
            crops = cut_all(self.source, cutter, index, index, epoch, _ALL, skipped)
            return Batch(crops, None, index, epoch, skipped, everyone)
        queries = cut_all(self.source, cutter, index, index, epoch, _QUERY, skipped)[:, 0]
        crops = cut_all(self.source, cutter, met.own, met.names.own, epoch, _KEY, skipped)[:, 0]
        keys = Batch(crops, None, met.own, epoch, skipped, met.everyone, named=met.names)
        return Batch(queries, None, index, epoch, skipped, everyone, keys=keys)
