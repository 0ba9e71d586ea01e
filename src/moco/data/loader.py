"""Batches in a drawn order, from any step on: what is in a batch is a function of (seed, step)."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from moco.data.decode import decode, open_image
from moco.data.memory import Memory, Skipped
from moco.data.opened import Opened
from moco.data.order import order
from moco.data.source import Sharded, Source, Unreadable
from moco.errors import MocoError
from moco.recipe import Recipe


class Cutter(Protocol):
    """What makes crops of an image: its views."""

    size: int
    """Pixels of a side of a crop."""
    channels: int
    dtype: torch.dtype
    """Of a crop, as its image has it."""

    def geometry(self, sizes: NDArray[np.int64], index: NDArray[np.int64], epoch: int) -> Sequence[Any]:
        """Where the crops of N images of these heights and widths (N x 2) lie: one thing for each view."""
        ...

    def cut_into(self, out: Tensor, image: Opened, where: Sequence[Any], row: int) -> None:
        """Write the crops of one image, uint8 V x 3 x S x S, that `where` has in this row; raises Unreadable."""
        ...


AHEAD = 64
"""Steps for which shards are fetched beforehand."""


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

    @classmethod
    def of(cls, recipe: Recipe, source: Source, process: int = 0, processes: int = 1) -> Plan:
        """The plan of a recipe for these images, as one of several processes follows it."""
        sharded = source if isinstance(source, Sharded) and not source.any_order else None
        return cls(len(source), recipe.batch, recipe.epochs, recipe.seed, recipe.steps, sharded, process, processes)

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
        """Steps between two looks at the encoder: an epoch, or a twentieth of a run that is counted in steps."""
        return self.steps_per_epoch if self.length is None else max(1, self.length // 20)

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
            yield Batch(pixels, sizes, index, plan.epoch(step), {}, everyone, self.memory)


class WorkerLoader:
    """Batches that worker processes decode and cut into crops."""

    def __init__(self, source: Source, cutter: Cutter, workers: int) -> None:
        self.source = source
        self.cutter = cutter
        self.workers = workers

    def batches(self, plan: Plan, start: int) -> Iterator[Batch]:
        """Crops, cut by the workers; raises MocoError where no image can be read."""
        loader = DataLoader(
            _Steps(self.source, self.cutter, plan, start),
            batch_size=None,
            num_workers=self.workers,
            worker_init_fn=leave_signals_to_the_main_process,
            prefetch_factor=2 if self.workers else None,
        )
        for batch in loader:
            if isinstance(batch, MocoError):
                raise batch
            yield batch


@contextmanager
def killed_workers_are_told() -> Iterator[None]:
    """Turn what torch raises about a killed worker, wherever the main process is then, into a sentence."""
    try:
        yield
    except (RuntimeError, ConnectionResetError, EOFError) as error:  # the last two from the queue that it filled
        if isinstance(error, RuntimeError) and not re.search(r"DataLoader worker .*(killed by|exited)", str(error)):
            raise
        raise MocoError(
            "a process that decodes images was killed, for a lack of memory perhaps (--machine.workers sets how many "
            "there are); the same command goes on from the last checkpoint"
        ) from None


def leave_signals_to_the_main_process(worker: int) -> None:
    """Ctrl-C and a scheduler's SIGTERM reach all processes of a group; the main one alone decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class _Steps(Dataset[Batch | MocoError]):
    """Item i is the batch of step `start` + i, or what there is to say instead."""

    def __init__(self, source: Source, cutter: Cutter, plan: Plan, start: int) -> None:
        self.source, self.cutter, self.plan, self.start = source, cutter, plan, start

    def __len__(self) -> int:
        return self.plan.steps - self.start

    def __getitem__(self, item: int) -> Batch | MocoError:
        try:
            return self._batch(item)
        except MocoError as error:  # raised in a worker, it would come with a page of its history
            return error

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
        images = [_open_or_next(self.source, int(i), skipped) for i in index]
        where = self.cutter.geometry(_sizes(images), index, epoch)
        side, dtype = self.cutter.size, self.cutter.dtype
        crops = torch.empty(len(index), len(where), self.cutter.channels, side, side, dtype=dtype)
        for row, image in enumerate(images):
            self._cut(crops[row], image, where, row, int(index[row]), epoch, skipped)
        return Batch(crops, None, index, epoch, skipped, everyone)

    def _cut(
        self, out: Tensor, image: _Found, where: Sequence[Any], row: int, i: int, epoch: int, skipped: Skipped
    ) -> None:
        """One image, or where its pixels are unreadable the next ones."""
        while True:
            try:
                self.cutter.cut_into(out, image.opened, where, row)
            except Unreadable as error:
                skipped[image.position] = str(error)
                image = _open_or_next(self.source, i, skipped)
                where, row = self.cutter.geometry(_sizes([image]), np.array([i]), epoch), 0
            else:
                return


@dataclass(frozen=True)
class _Found:
    """An image whose header was read, and where in the source it is."""

    opened: Opened
    position: int


def _open_or_next(source: Source, i: int, skipped: Skipped) -> _Found:
    """Image i, or the next one that is not known to be unreadable and whose header can be read."""
    offset = 0
    while offset < len(source):
        j = (i + offset) % len(source)
        offset += 1
        if j not in skipped:
            try:
                return _Found(open_image(source.raw(j)), j)
            except Unreadable as error:
                skipped[j] = str(error)
                offset += 0 if error.beyond is None else max(0, error.beyond - j - 1)
    raise _none_readable(source, i, skipped)


def _sizes(images: Sequence[_Found]) -> NDArray[np.int64]:
    return np.array([(image.opened.header.height, image.opened.header.width) for image in images])


def _none_readable(source: Source, i: int, skipped: Skipped) -> MocoError:
    return MocoError(f"none of the {len(source)} images can be read ({source.name(i)}: {next(iter(skipped.values()))})")


def read_or_next(source: Source, i: int, skipped: Skipped) -> NDArray[np.uint8]:
    """Image i, or where it is unreadable the next one that is not; what was passed over is noted in `skipped`."""
    offset = 0
    while offset < len(source):
        j = (i + offset) % len(source)
        try:
            return decode(source.raw(j))
        except Unreadable as error:
            skipped[j] = str(error)
            offset += 1 if error.beyond is None else max(1, error.beyond - j)
    raise _none_readable(source, i, skipped)
