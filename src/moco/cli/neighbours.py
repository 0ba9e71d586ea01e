"""`moco neighbours`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from moco.cli.answer import Answer, from_csv
from moco.cli.parse import parse
from moco.errors import MocoError
from moco.machine import Machine


@dataclass
class Neighbours:
    """Find the most similar images of each."""

    encoder: Annotated[Path, tyro.conf.Positional]
    """A run, an encoder file, or features that moco embed wrote."""
    data: str | None = None
    """Images, as for pretrain; where features are given, only if the images have moved."""
    out: Path = Path("found")
    """The folder for neighbours.csv and neighbours.png."""
    query: str | None = None
    """Images to look up among those of --data; without them each image is looked up among the others."""
    text: tuple[str, ...] = ()
    """Texts to look images up by, of a run of image-text: --text "a red sign" "a dog"."""
    k: int = 8
    """How many."""
    how: Literal["auto", "exact", "faiss"] = "auto"
    """faiss is approximate; auto takes it for more than exact search does in seconds, where it is installed."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Embed, search, and write table and picture."""
    asked = parse(Neighbours, "moco neighbours", arguments)
    from moco.commands.embed import features_of
    from moco.commands.find import find_neighbours
    from moco.display import Terminal
    from moco.search.features import SUFFIXES

    tell = Terminal()
    if asked.text:
        from moco.commands.embed import embed_images
        from moco.commands.embed_text import embed_texts

        named = embed_texts(asked.encoder, asked.text, tell=tell)
        images = embed_images(asked.encoder, needed(asked.data), features="head", machine=asked.machine, tell=tell)
        folder = find_neighbours(images, asked.out, k=asked.k, queries=named, how=asked.how, tell=tell)
        return Answer(partial(from_csv, folder, "neighbours"))
    found = features_of(asked.encoder, asked.data, asked.machine, tell)
    queries = None
    if asked.query is not None:
        encoder = found.encoder if asked.encoder.suffix in SUFFIXES else asked.encoder
        queries = features_of(encoder, asked.query, asked.machine, tell)
    folder = find_neighbours(found, asked.out, k=asked.k, queries=queries, how=asked.how, tell=tell)
    return Answer(partial(from_csv, folder, "neighbours"))


def needed(data: str | None) -> str:
    """The images, which texts cannot be looked up without."""
    if data is None:
        raise MocoError("--text: name the images to look up with --data")
    return data
