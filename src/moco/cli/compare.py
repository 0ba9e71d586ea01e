"""`moco compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse


@dataclass
class Compare:
    """Write one page about several runs: curves, what differs, evaluations, neighbours, minutes against kNN."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Runs, or folders with runs, such as those of moco study and moco tune."""
    out: Path = Path("compare.html")
    """The page."""
    pictures: bool = True
    """Look up the same images by each encoder."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""


def run(arguments: list[str]) -> Answer:
    """Write the page and say where it is."""
    asked = parse(Compare, "moco compare", arguments)
    from moco.commands.compare import compare
    from moco.display import Terminal

    return Answer({"page": compare(asked.runs, asked.out, pictures=asked.pictures, tell=Terminal())})
