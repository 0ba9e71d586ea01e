"""`moco cluster`."""

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
class Cluster:
    """Put images into groups by k-means, the most typical of each first."""

    encoder: Annotated[Path, tyro.conf.Positional]
    """A run, an encoder file, or features that moco embed wrote."""
    data: str | None = None
    """Images, as for pretrain; where features are given, only if the images have moved."""
    out: Path = Path("found")
    """The folder for cluster.csv and cluster.png."""
    k: int = 12
    """How many groups."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Embed, search, and write table and picture."""
    asked = parse(Cluster, "moco cluster", arguments)
    from moco.commands.embed import features_of
    from moco.commands.find import find_clusters
    from moco.display import Terminal

    tell = Terminal()
    found = features_of(asked.encoder, asked.data, asked.machine, tell)
    folder = find_clusters(found, asked.out, k=asked.k, tell=tell)
    return Answer(partial(from_csv, folder, "cluster"))
