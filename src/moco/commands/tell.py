"""Who is told how a command goes: the command line draws it, Python code may listen, or nobody does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from moco.protocols.result import Result
from moco.recipe.auto import Choice
from moco.run.show import Show


class Teller(Show, Protocol):
    """Who is told how a command goes."""

    def choices(self, choices: Sequence[Choice]) -> None:
        """What `auto` decided."""
        ...

    def reading(self, what: str, total: int) -> Callable[[int], object]:
        """Images are being read; call the answer with how many are done."""
        ...

    def results(self, result: Result) -> None:
        """A finished evaluation."""
        ...


class Silent:
    """Tells nobody."""

    def row(self, row: dict[str, Any], step: int, steps: int, seconds_left: float | None) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def choices(self, choices: Sequence[Choice]) -> None:
        """Nothing."""

    def reading(self, what: str, total: int) -> Callable[[int], object]:
        """Nothing."""
        return lambda done: None

    def results(self, result: Result) -> None:
        """Nothing."""
