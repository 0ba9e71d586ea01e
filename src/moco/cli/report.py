"""`moco report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse
from moco.transfer.recipe import RECIPE


@dataclass
class Report:
    """Write the page about a run again."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run of pretrain, or the folder of a transfer."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""


def run(arguments: list[str]) -> Answer:
    """Write the page and say where it is."""
    asked = parse(Report, "moco report", arguments)
    if any(asked.run.glob(f"*/{RECIPE}")):
        from moco.commands.transfer_report import report_transfer

        page = report_transfer(asked.run)
    else:
        from moco.commands.report import report

        page = report(asked.run)
    print(page)  # noqa: T201
    return Answer({"page": page})
