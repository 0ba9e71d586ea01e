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
    """knn, few-labels, linear; the first two where none is named."""
    data: str = tyro.MISSING
    """Labelled images, as for --watch."""
    linear_epochs: int = 100
    """Epochs of the linear protocol; the papers' 100."""
    linear_lrs: tuple[float, ...] = (30.0,)
    """Learning rates of the linear protocol, tried side by side; the papers' 30 at a batch of 256."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> None:
    """Judge, show the tables, and write the page again."""
    asked = parse(Evaluate, "moco evaluate", arguments)
    from moco.commands.evaluate import QUICK, evaluate
    from moco.commands.report import report
    from moco.display import Terminal
    from moco.evaluate.linear import Linear

    tell = Terminal()
    evaluate(
        asked.run,
        asked.data,
        asked.protocols or QUICK,
        linear_settings=Linear(epochs=asked.linear_epochs, lrs=asked.linear_lrs),
        machine=asked.machine,
        tell=tell,
    )
    tell.note(f"{report(asked.run)} shows them beside the curves")
