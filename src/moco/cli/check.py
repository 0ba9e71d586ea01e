"""`moco check`."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from moco.cli.parse import parse


@dataclass
class Check:
    """Read every image once and say what is there."""

    data: str
    task: str | None = None
    """A task of moco transfer: read the annotations in its layout too, and name what makes no sense."""
    train: str | None = None
    """With --task: the part to learn from, as for moco transfer."""
    test: str | None = None
    """With --task: the part to be judged on."""


def run(arguments: list[str]) -> None:
    """Read everything, and print what was found; ends with 1 where so much is unreadable that it would stop a run."""
    asked = parse(Check, "moco check", arguments)
    from moco.data.check import check
    from moco.data.open import open_source
    from moco.display import Terminal

    tell = Terminal()
    if asked.task is not None:
        from moco.commands.check_annotated import check_annotated

        lines, too_many = check_annotated(asked.task, asked.data, asked.train, asked.test)
        for line in lines:
            tell.note(line)
        sys.exit(1 if too_many else 0)
    source = open_source(asked.data)
    reading = tell.reading("reading images", len(source))
    found = check(source, reading)
    for line in found.lines():
        tell.note(line)
    if found.stops_a_run:
        sys.exit(1)
