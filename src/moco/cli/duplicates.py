"""`moco duplicates`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.answer import Answer, from_csv
from moco.cli.parse import parse
from moco.machine import Machine


@dataclass
class Duplicates:
    """Find groups of images that are nearly the same."""

    encoder: Annotated[Path, tyro.conf.Positional]
    """A run, an encoder file, or features that moco embed wrote."""
    data: str | None = None
    """Images, as for pretrain; where features are given, only if the images have moved."""
    out: Path = Path("found")
    """The folder for duplicates.csv and duplicates.png."""
    threshold: float = 0.99
    """Cosine from which on two images are linked."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Embed, search, and write table and picture."""
    asked = parse(Duplicates, "moco duplicates", arguments)
    from moco.commands.embed import features_of
    from moco.commands.find import find_duplicates
    from moco.display import Terminal

    tell = Terminal()
    found = features_of(asked.encoder, asked.data, asked.machine, tell)
    folder = find_duplicates(found, asked.out, threshold=asked.threshold, tell=tell)
    return Answer(partial(from_csv, folder, "duplicates"))
