"""`moco check`."""

from __future__ import annotations

from dataclasses import dataclass

from moco.cli.parse import parse


@dataclass
class Check:
    """Read every image once and say what is there."""

    data: str


def run(arguments: list[str]) -> None:
    """Read everything, and print what was found."""
    asked = parse(Check, "moco check", arguments)
    from moco.data.check import check
    from moco.data.open import open_source
    from moco.display import Terminal

    tell = Terminal()
    source = open_source(asked.data)
    reading = tell.reading("reading images", len(source))
    for line in check(source, reading).lines():
        tell.note(line)
