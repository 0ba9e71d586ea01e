"""Batches in a drawn order, from any step on: what is in a batch is a function of (seed, step)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from moco.data.decode import decode
from moco.data.memory import Memory, Skipped
from moco.data.order import order
from moco.data.source import Source, Unreadable
from moco.errors import MocoError

Cut = Callable[[NDArray[np.uint8], int, int], Tensor]
"""(image H x W x 3, epoch, index) -> uint8 crops, one for each view: V x 3 x S x S."""


@dataclass(frozen=True)
class Plan:
    """Which images each step takes: a fresh order each epoch, the incomplete last batch left out."""

    images: int
    batch: int
    epochs: int
    seed: int
    process: int = 0
    processes: int = 1
    """Each of several processes takes its contiguous share of every batch; which images those are changes nothing."""

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the data set."""
        return self.images // self.batch

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.epochs

    def epoch(self, step: int) -> int:
        """The epoch a step belongs to, counted from 0."""
        return step // self.steps_per_epoch

    def index(self, step: int) -> NDArray[np.int64]:
        """The images of a step that are this process's, by position in the source."""
        share = self.batch // self.processes
        first = step % self.steps_per_epoch * self.batch + self.process * share
        return order(self.images, self.seed, self.epoch(step), np.arange(first, first + share))


@dataclass(frozen=True)
class Batch:
    """The images of one step: whole and padded, with their sizes; or already cut into crops (sizes is None)."""

    pixels: Tensor
    """uint8, N x 3 x H x W, or crops N x V x 3 x S x S."""
    sizes: NDArray[np.int64] | None
    index: NDArray[np.int64]
    epoch: int
    skipped: Skipped
    """What this batch found unreadable."""


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
            index = plan.index(step)
            pixels, sizes = self.memory.batch(index)
            yield Batch(pixels, sizes, index, plan.epoch(step), {})


class WorkerLoader:
    """Batches that worker processes decode and cut into crops."""

    def __init__(self, source: Source, cut: Cut, workers: int) -> None:
        self.source = source
        self.cut = cut
        self.workers = workers

    def batches(self, plan: Plan, start: int) -> Iterator[Batch]:
        """Crops, cut by the workers."""
        loader = DataLoader(
            _Steps(self.source, self.cut, plan, start),
            batch_size=None,
            num_workers=self.workers,
            worker_init_fn=_leave_signals_to_the_main_process,
            prefetch_factor=2 if self.workers else None,
        )
        yield from loader


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Ctrl-C and a scheduler's SIGTERM reach all processes of a group; the main one alone decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class _Steps(Dataset[Batch]):
    """Item i is the batch of step `start` + i."""

    def __init__(self, source: Source, cut: Cut, plan: Plan, start: int) -> None:
        self.source, self.cut, self.plan, self.start = source, cut, plan, start

    def __len__(self) -> int:
        return self.plan.steps - self.start

    def __getitem__(self, item: int) -> Batch:
        step = self.start + item
        if step >= self.plan.steps:
            raise IndexError(item)
        epoch, index = self.plan.epoch(step), self.plan.index(step)
        skipped: Skipped = {}
        crops = [self.cut(read_or_next(self.source, int(i), skipped), epoch, int(i)) for i in index]
        return Batch(torch.stack(crops), None, index, epoch, skipped)


def read_or_next(source: Source, i: int, skipped: Skipped) -> NDArray[np.uint8]:
    """Image i, or where it is unreadable the next one that is not; what was passed over is noted in `skipped`."""
    for offset in range(len(source)):
        j = (i + offset) % len(source)
        try:
            return decode(source.raw(j))
        except Unreadable as error:
            skipped[j] = str(error)
    raise MocoError(f"none of the {len(source)} images can be read ({source.name(i)}: {next(iter(skipped.values()))})")
