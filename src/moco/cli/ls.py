"""`moco ls`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse


@dataclass
class Ls:
    """List the runs of a folder: running, stopped (goes on with the same command), finished, or dead (was killed)."""

    runs: Annotated[Path, tyro.conf.Positional] = Path("runs")
    """A folder with runs, at any depth."""
    json: bool = False
    """Print a list of objects, for programs."""


def run(arguments: list[str]) -> Answer:
    """Look once, and print."""
    asked = parse(Ls, "moco ls", arguments)
    from moco.commands.overview import Overview, as_row, as_table

    lines = Overview(asked.runs).look()
    from moco.display import Terminal

    if lines:
        Terminal().table("", *as_table(lines))
    else:
        Terminal().note(f"{asked.runs} holds no runs")
    return Answer([as_row(line) for line in lines])
