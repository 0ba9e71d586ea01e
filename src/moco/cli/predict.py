"""`moco predict`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse
from moco.machine import Machine


@dataclass
class Predict:
    """Draw and write what a fine-tuned model finds in images."""

    run: Annotated[str, tyro.conf.Positional]
    """A run of moco transfer, or its model.pt."""
    data: Annotated[str, tyro.conf.Positional]
    """Images, as for pretrain."""
    out: Path = tyro.MISSING
    """The folder: found.json (COCO) or masks/, and drawn/."""
    least: float = 0.5
    """What is drawn has at least this score; found.json has all."""
    draw: bool = True
    """Whether pictures are drawn."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Find, and write the folder."""
    asked = parse(Predict, "moco predict", arguments)
    from moco.commands.predict import predict
    from moco.display import Terminal

    folder = predict(
        asked.run,
        asked.data,
        asked.out,
        least=asked.least,
        draw=asked.draw,
        machine=asked.machine,
        tell=Terminal(),
    )
    found, masks = folder / "found.json", folder / "masks"
    return Answer({"folder": folder, "found": found if found.exists() else None, "masks": masks.is_dir()})
