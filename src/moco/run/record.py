"""The rows of a run as it goes: the main process writes them, and whoever listens is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from moco import distributed
from moco.run.directory import RunDirectory
from moco.run.log import Log, Row
from moco.run.show import Show

Remark = Callable[[Sequence[Row]], Row]
"""What there is to add to the last of these rows, seeing those before it."""


class Record:
    """The log of a run of so many steps, for all processes; close it."""

    def __init__(self, run: RunDirectory, step: int, steps: int, show: Show, remark: Remark) -> None:
        """Go on from `step`, or anew where the run has no checkpoint."""
        self._steps, self._show, self._remark = steps, show, remark
        self._logs: list[Log] = []  # one, on the main process
        distributed.on_main(lambda: self._logs.append(Log(run.path, step if run.checkpoint.exists() else -1)))

    def add(self, row: Row, seconds_left: float | None = None) -> None:
        """Write a row and tell of it; `seconds_left` are those to the end of the run, where they can be told."""
        distributed.on_main(lambda: self._write(row))
        if distributed.main_process():
            self._show.row(row, row["step"], self._steps, seconds_left)

    def _write(self, row: Row) -> None:
        for log in self._logs:
            row |= self._remark([*log.recent(), row])
            log.add(row)

    def close(self) -> None:
        """Write what TensorBoard still holds."""
        for log in self._logs:
            log.close()
