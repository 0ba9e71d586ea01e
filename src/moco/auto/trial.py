"""A short training that can be carried on: what rates are measured by, and what views are compared by."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Generator, Iterator

from moco import distributed
from moco.data.loader import Batch, Loader, MemoryLoader, Plan, WorkerLoader
from moco.data.memory import Memory
from moco.data.source import Source
from moco.device import Placement, wait_for
from moco.encoder import Encoder
from moco.fast import choose_fast
from moco.machine import Machine
from moco.recipe import Recipe
from moco.training import Training, build_training, train_step


class Trial:
    """A training of a recipe, its views as large as they are in the end; writes nothing and tells nobody.

    Several processes train together.
    """

    def __init__(
        self,
        recipe: Recipe,
        memory: Memory,
        placement: Placement,
        machine: Machine,
        fast: Collection[str] | None,
        first: Callable[[Training], object] | None = None,
        source: Source | None = None,
    ) -> None:
        """Trains on the images in memory, or where `source` is given on its, which processes read and cut.

        `fast` names the forms to compute with; None: found out here, and then in `self.fast`.

        `first` puts into the training what it starts from; None: random weights.
        """
        self.recipe = recipe = dataclasses.replace(recipe, first_sizes=())
        self.placement = placement
        images = len(memory) if source is None else len(source)
        self._training = build_training(recipe, images, placement)
        if first is not None:
            first(self._training)
        compiled = (
            machine.compile if placement.device.type == "cpu" else "off"
        )  # compiling costs more than a trial saves
        self.fast, _ = choose_fast(self._training, compiled, fast, recipe.steps or 0, lambda text: None)
        number, count = distributed.number(), distributed.count()
        loader: Loader
        if source is None:
            plan = Plan(images, recipe.batch, recipe.epochs, recipe.seed, recipe.steps, None, number, count)
            loader = MemoryLoader(memory)
        else:
            plan = Plan.of(recipe, source, number, count)
            loader = WorkerLoader(source, self._training.views, machine.decoders)
        self._batches: Iterator[Batch] = loader.batches(plan, 0)
        self.accuracy = 0.0
        """Mean contrast accuracy of the steps of the last call of `go`."""

    @property
    def encoder(self) -> Encoder:
        """The query encoder."""
        return self._training.model.query_encoder

    @property
    def step(self) -> int:
        """Steps done."""
        return self._training.step

    def go(self, step: int) -> float:
        """Train up to this step; the seconds that it took."""
        start = time.perf_counter()
        found = []
        while self._training.step < step:
            found.append(train_step(self._training, next(self._batches)).accuracy)
        wait_for(self._training.placement.device)
        self.accuracy = sum(map(float, found)) / max(1, len(found))
        return time.perf_counter() - start

    def close(self) -> None:
        """End the processes that read images; it goes no further."""
        if isinstance(self._batches, Generator):
            self._batches.close()

    def finite(self) -> bool:
        """Whether it has not diverged."""
        return self._training.bad_step() is None and self._training.finite()
