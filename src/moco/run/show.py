"""Who is told how a run goes."""

from __future__ import annotations

from typing import Protocol

from moco.run.log import Row


class Show(Protocol):
    """Who is told how the run goes."""

    def row(self, row: Row, step: int, steps: int, seconds_left: float | None) -> None:
        """A row of the log was written."""
        ...

    def note(self, text: str) -> None:
        """Something happened that deserves a line."""
        ...
