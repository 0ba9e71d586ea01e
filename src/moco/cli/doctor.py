"""`moco doctor`."""

from __future__ import annotations

from dataclasses import dataclass, field

from moco.cli.answer import Answer
from moco.cli.parse import parse
from moco.machine import Machine


@dataclass
class Doctor:
    """Say what is installed, what each missing extra would bring, and what this machine computes with."""

    json: bool = False
    """Print one object, for programs."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Look, and print; ends with 1 where something must be put right."""
    asked = parse(Doctor, "moco doctor", arguments)
    from moco.commands.doctor import examine
    from moco.display import Terminal

    tell = Terminal()
    found = examine(asked.machine)
    for line in found.lines():
        tell.note(line)
    return Answer(found, 1 if found.problems else 0)
