"""`moco evaluate`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.parse import parse
from moco.machine import Machine


@dataclass
class Evaluate:
    """Judge the encoder of a run on labelled images."""

    run: Annotated[Path, tyro.conf.Positional]
    protocols: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """knn, few-labels; all of them where none is named."""
    data: str = tyro.MISSING
    """Labelled images, as for --watch."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> None:
    """Judge, show the tables, and write the page again."""
    asked = parse(Evaluate, "moco evaluate", arguments)
    from moco.commands.evaluate import PROTOCOLS, evaluate
    from moco.commands.report import report
    from moco.display import Terminal

    tell = Terminal()
    evaluate(asked.run, asked.data, asked.protocols or PROTOCOLS, machine=asked.machine, tell=tell)
    tell.note(f"{report(asked.run)} shows them beside the curves")
