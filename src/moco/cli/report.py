"""`moco report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.parse import parse


@dataclass
class Report:
    """Write the page about a run again."""

    run: Annotated[Path, tyro.conf.Positional]


def run(arguments: list[str]) -> None:
    """Write the page and say where it is."""
    asked = parse(Report, "moco report", arguments)
    from moco.commands.report import report

    print(report(asked.run))  # noqa: T201
