"""`moco export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse


@dataclass
class Export:
    """Write an encoder for another library, open it there, and compare its features of real images with ours."""

    encoder: Annotated[str, tyro.conf.Positional]
    """A run, an encoder.pt, torchvision:NAME[=FILE], timm:NAME[=FILE], or a file of another library."""
    format: Annotated[str, tyro.conf.Positional]
    """torchvision, timm, safetensors, onnx, torch-export, huggingface, detectron2, mmdetection, mmpretrain, official;
    or all: each that can hold it, in a folder of its name."""
    out: Annotated[Path, tyro.conf.Positional]
    """A new folder."""
    head: bool = False
    """Keep the projection head."""
    preprocess: bool = False
    """onnx and torch-export: take uint8 pixels, N x S x S x 3, and normalise them inside."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    data: str | None = None
    """Images to compare on; None: those of the run, or photographs that come with scikit-learn."""
    push: str | None = None
    """huggingface: send the folder to the hub as USER/NAME, private if it is new. Nothing is sent without this."""


def run(arguments: list[str]) -> Answer:
    """Export, and say how to use it."""
    asked = parse(Export, "moco export", arguments)
    from moco.commands.export import export, export_all
    from moco.display import Terminal
    from moco.errors import MocoError

    tell = Terminal()
    if asked.format == "all":
        if asked.head or asked.preprocess or asked.push is not None:
            raise MocoError("--head, --preprocess and --push are for one format: name it instead of all")
        done, left = export_all(asked.encoder, asked.out, data=asked.data, tell=tell)
        return Answer({"exports": done, "cannot_hold_it": left})
    options = {"head": asked.head, "preprocess": asked.preprocess, "data": asked.data, "push": asked.push}
    made = export(asked.encoder, asked.format, asked.out, **options, tell=tell)
    tell.note(made.usage)
    return Answer({"exports": [made], "cannot_hold_it": {}})
