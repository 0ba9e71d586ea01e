"""Whether a run still ends when its time is up: a machine that turns slower is told, with the new end."""

from __future__ import annotations

import time
from collections.abc import Callable

from moco.auto.budget import words
from moco.run.log import Row
from moco.run.show import Show

LATE = 1.1
"""Times the promised length from which on a run is late."""

AGAIN = 1.25
"""Times the length that was told last from which on it is told again."""


class Pace:
    """Passes on what is shown, and says when the run will end later than promised; the plan stays as it is."""

    def __init__(self, show: Show, began: float, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """The run began at `began` on the clock and was to take so many seconds in all."""
        self._show, self._began, self._promised, self._clock = show, began, seconds, clock
        self._told = LATE * seconds / AGAIN
        self._first: tuple[float, int] | None = None

    def row(self, row: Row, step: int, steps: int, seconds_left: float | None) -> None:
        """Pass a row on; a tenth of the run must have gone by before its rate, since the first row, says anything."""
        self._show.row(row, step, steps, seconds_left)
        now = self._clock()
        since, first = self._first = self._first or (now, step)
        if step == first or step * 10 < steps:
            return
        whole = now - self._began + (now - since) / (step - first) * (steps - step)
        if whole > AGAIN * self._told:
            self._told = whole
            self._show.note(
                f"this machine has turned slower since the run was planned: it will take about {words(whole)} in all "
                f"instead of {words(self._promised)} (the plan stays; Ctrl-C stops and saves, and the same command "
                "goes on)"
            )

    def note(self, text: str) -> None:
        """Pass a line on."""
        self._show.note(text)
