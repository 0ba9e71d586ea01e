"""`moco report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.parse import parse
from moco.transfer.recipe import RECIPE


@dataclass
class Report:
    """Write the page about a run again."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run of pretrain, or the folder of a transfer."""


def run(arguments: list[str]) -> None:
    """Write the page and say where it is."""
    asked = parse(Report, "moco report", arguments)
    if any(asked.run.glob(f"*/{RECIPE}")):
        from moco.commands.transfer_report import report_transfer

        print(report_transfer(asked.run))  # noqa: T201
        return
    from moco.commands.report import report

    print(report(asked.run))  # noqa: T201
