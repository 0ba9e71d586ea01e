"""What loggers are told of a run: its settings when it begins, its rows, its pictures, and its report at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moco import distributed
from moco.commands.start import Start
from moco.loggers.followed import Followed, followed
from moco.loggers.logger import About
from moco.machine import Machine
from moco.recipe import Recipe, flatten
from moco.run.show import Show
from moco.transfer.recipe import Trial
from moco.version import VERSION


@contextmanager
def logged(show: Show, names: Sequence[str], start: Start, recipe: Recipe) -> Iterator[Followed]:
    """Whoever is shown the rows of this run, and beside them these loggers; on the main process alone."""

    def pictures() -> dict[str, Any]:
        from moco.pages.pictures import view_rows
        from moco.pages.sheets import view_sheet

        return {"views": view_sheet(view_rows(start.source, recipe))}

    more = {"placement": start.placement.reason, "images": len(start.source), "data": start.source.description}
    about = About(start.run.path, _settings(recipe, start.machine, more))
    with followed(show, names if distributed.main_process() else (), about, pictures) as one:
        yield one


@contextmanager
def logged_trial(show: Show, names: Sequence[str], folder: Path, trial: Trial, machine: Machine) -> Iterator[Followed]:
    """The same of one start of a transfer, which is a run of its own."""
    about = About(folder, _settings(trial, machine, {}))
    with followed(show, names if distributed.main_process() else (), about, dict) as one:
        yield one


def finish(to: Followed, run: Path) -> Path:
    """Draw the report of a run that has ended, and hand it on with what is alike to the encoder; the page."""
    from moco.commands.report import draw  # half a second of libraries, which the other processes do without
    from moco.pages.sheets import neighbour_sheet

    page, pictures = draw(run)
    if pictures.neighbours is not None:
        to.picture("neighbours", neighbour_sheet(pictures.neighbours))
    to.page(page)
    return page


def _settings(recipe: Recipe | Trial, machine: Machine, more: dict[str, Any]) -> dict[str, Any]:
    """The recipe, the machine, what else is named and the version; what has several values is words."""
    about = flatten(recipe) | {f"machine.{name}": value for name, value in dataclasses.asdict(machine).items()}
    about |= more | {"moco": VERSION}
    plain = (bool, int, float, str)
    return {name: value if isinstance(value, plain) else str(value) for name, value in about.items()}
