"""Who is told how a command goes: the command line draws it, a notebook shows it, Python code may listen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from moco.commands.notebook import Notebook, in_notebook
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


def listener(tell: Teller | None) -> Teller:
    """Who was named; else the cell of a notebook, where there is one; else nobody. On the main process alone."""
    from moco import distributed  # brings torch, which takes seconds: a command that looks at files alone needs none

    if not distributed.main_process():
        return Silent()
    return tell if tell is not None else Notebook() if in_notebook() else Silent()
