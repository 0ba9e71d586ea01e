"""The clock of a loop: how fast it goes, and how long it waits for its batches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Pace:
    """So many steps in so many seconds, of which some went by waiting for batches."""

    steps: int
    seconds: float
    waited: float

    def per_second(self, batch: int) -> float:
        """Images a second, where a step takes so many."""
        return self.steps * batch / max(self.seconds, 1e-9)

    @property
    def wait(self) -> float:
        """The share of the time that went by waiting for batches."""
        return self.waited / max(self.seconds, 1e-9)

    def seconds_for(self, steps: int) -> float:
        """How long so many steps take at this pace."""
        return self.seconds * steps / max(self.steps, 1)


class Clock:
    """Measures the pace of steps since it was last restarted."""

    def __init__(self, step: int) -> None:
        self.restart(step)

    def restart(self, step: int) -> None:
        """Count from this step and from now: leave out of the pace what was no training."""
        self._since, self._since_step, self._waited = time.monotonic(), step, 0.0

    def timed(self, batches: Iterator[T]) -> Iterator[T]:
        """The same batches, counting the time spent waiting for them."""
        while True:
            start = time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._waited += time.monotonic() - start
            yield batch

    def pace(self, step: int) -> Pace:
        """The pace up to this step."""
        return Pace(step - self._since_step, time.monotonic() - self._since, self._waited)
