"""`moco watch`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.parse import parse


@dataclass
class Watch:
    """Watch all runs of a folder in the browser as they go: progress, time left, health, curves, last lines."""

    runs: Annotated[Path, tyro.conf.Positional] = Path("runs")
    """A folder with runs, at any depth; other machines may write to it."""
    port: int = 5070
    """On 127.0.0.1; where it is in use, the next free one."""


def run(arguments: list[str]) -> None:
    """Serve the page until Ctrl-C."""
    asked = parse(Watch, "moco watch", arguments)
    from moco.commands.watch_runs import watch_runs
    from moco.display import Terminal

    watch_runs(asked.runs, asked.port, Terminal())
