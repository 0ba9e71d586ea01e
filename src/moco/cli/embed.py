"""`moco embed`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse
from moco.errors import MocoError
from moco.machine import Machine


@dataclass
class Embed:
    """Write the features of images, with paths and labels."""

    encoder: Annotated[str, tyro.conf.Positional]
    """A run, an encoder.pt, torchvision:NAME[=FILE], timm:NAME[=FILE], or a file of another library."""
    data: str | None = None
    """Images, as for pretrain."""
    text: Path | None = None
    """Instead of images, a file of texts, one a line, for a run of image-text."""
    out: Path = Path("features.npz")
    """The file: .npz or .parquet."""
    features: Literal["backbone", "head", "whitened"] = "backbone"
    """The backbone's; those whitened, often better neighbours after short runs on many images; or the head's."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Embed, and write the file."""
    asked = parse(Embed, "moco embed", arguments)
    from moco.commands.captions import texts_in
    from moco.commands.embed import embed_images
    from moco.commands.embed_text import embed_texts
    from moco.display import Terminal

    if asked.text is not None:
        texts = embed_texts(asked.encoder, texts_in(asked.text), asked.out, tell=Terminal())
        return Answer({"file": asked.out, "texts": len(texts.features), "numbers": texts.features.shape[1]})
    if asked.data is None:
        raise MocoError("--data is missing: name the images, or a file of texts with --text")
    options = {"features": asked.features, "machine": asked.machine, "tell": Terminal()}
    found = embed_images(asked.encoder, asked.data, asked.out, **options)
    return Answer({"file": asked.out, "images": len(found.features), "numbers": found.features.shape[1]})
