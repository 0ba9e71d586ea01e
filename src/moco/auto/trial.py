"""A short training that can be carried on: what rates are measured by, and what views are compared by."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator

from moco import distributed
from moco.data.loader import Batch, MemoryLoader, Plan
from moco.data.memory import Memory
from moco.device import Placement, wait_for
from moco.encoder import Encoder
from moco.fast import choose_fast
from moco.machine import Machine
from moco.recipe import Recipe
from moco.training import Training, build_training, train_step


class Trial:
    """A training of a recipe on images in memory; writes nothing and tells nobody. Several processes train together."""

    def __init__(
        self,
        recipe: Recipe,
        memory: Memory,
        placement: Placement,
        machine: Machine,
        fast: Collection[str] | None,
        first: Callable[[Training], object] | None = None,
    ) -> None:
        """`fast` names the forms to compute with; None: found out here, and then in `self.fast`.

        `first` puts into the training what it starts from; None: random weights.
        """
        self.recipe, self.placement = recipe, placement
        self._training = build_training(recipe, len(memory), placement)
        if first is not None:
            first(self._training)
        compiled = (
            machine.compile if placement.device.type == "cpu" else "off"
        )  # compiling costs more than a trial saves
        self.fast, _ = choose_fast(self._training, compiled, fast, recipe.steps or 0, lambda text: None)
        number, count = distributed.number(), distributed.count()
        plan = Plan(len(memory), recipe.batch, recipe.epochs, recipe.seed, recipe.steps, None, number, count)
        self._batches: Iterator[Batch] = MemoryLoader(memory).batches(plan, 0)
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

    def finite(self) -> bool:
        """Whether it has not diverged."""
        return self._training.bad_step() is None and self._training.finite()
