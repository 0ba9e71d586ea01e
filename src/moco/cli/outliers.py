"""`moco outliers`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from moco.cli.answer import Answer, from_csv
from moco.cli.parse import parse
from moco.machine import Machine


@dataclass
class Outliers:
    """Find images unlike all others, by their mean distance to the k nearest."""

    encoder: Annotated[Path, tyro.conf.Positional]
    """A run, an encoder file, or features that moco embed wrote."""
    data: str | None = None
    """Images, as for pretrain; where features are given, only if the images have moved."""
    out: Path = Path("found")
    """The folder for outliers.csv and outliers.png."""
    k: int = 10
    """How many neighbours are asked."""
    how: Literal["auto", "exact", "faiss"] = "auto"
    """faiss is approximate; auto takes it for more than exact search does in seconds, where it is installed."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Embed, search, and write table and picture."""
    asked = parse(Outliers, "moco outliers", arguments)
    from moco.commands.embed import features_of
    from moco.commands.find import find_outliers
    from moco.display import Terminal

    tell = Terminal()
    found = features_of(asked.encoder, asked.data, asked.machine, tell)
    folder = find_outliers(found, asked.out, k=asked.k, how=asked.how, tell=tell)
    return Answer(partial(from_csv, folder, "outliers"))
