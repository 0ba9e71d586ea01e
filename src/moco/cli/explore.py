"""`moco explore`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.parse import parse
from moco.machine import Machine


@dataclass
class Explore:
    """See what an encoder finds alike: a map of the images in the browser, made once and kept beside the run."""

    encoder: Annotated[str, tyro.conf.Positional]
    """A run, an encoder, or features that moco embed wrote."""
    data: str | None = None
    """Images, as for pretrain; without it those of the run or of the features."""
    out: Path | None = None
    """Where features and map are kept; without it in the run, or beside the file."""
    export: Path | None = None
    """Write the page to this folder, for any web server, in place of serving it."""
    port: int = 5050
    """On 127.0.0.1; where it is in use, the next free one."""
    browser: bool = True
    """Open the page, where there is a desktop."""
    seed: int = 0
    """Of the map and the clusters."""
    threshold: float = 0.99
    """The cosine from which on two images are near duplicates."""
    clusters: int = 12
    """How many groups of alike images."""
    losses: bool = False
    """A column with the loss of each image, which takes three times as long (runs with a checkpoint)."""
    again: bool = False
    """Make everything anew, for images that have changed."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> None:
    """Make the map where it is not there yet; then serve or export it."""
    asked = parse(Explore, "moco explore", arguments)
    from moco.commands.explore import Wanted, explore, serve, write_export
    from moco.display import Terminal
    from moco.explore.export import refuse_export

    tell = Terminal()
    if asked.export is not None:
        refuse_export(asked.export)
    wanted = Wanted(asked.seed, asked.threshold, asked.clusters, asked.losses)
    explored = explore(
        asked.encoder, asked.data, out=asked.out, wanted=wanted, again=asked.again, machine=asked.machine, tell=tell
    )
    if asked.export is not None:
        write_export(explored, asked.export, tell)
    else:
        serve(explored, asked.port, asked.browser, tell)
