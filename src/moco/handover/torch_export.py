"""torch-export: a .pt2 program that runs without the code of the network."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor

from moco.handover.absent import version
from moco.handover.deployed import other_size, taken_words, traced
from moco.handover.loadfile import opened_by_load, write_load
from moco.handover.parcel import Exported, Parcel
from moco.handover.safetensors import metadata
from moco.run.atomic import write_atomically

FILE = "encoder.pt2"


def obstacle(parcel: Parcel) -> str | None:
    """Whatever torch can trace; only trying tells."""
    return None


def write(parcel: Parcel, folder: Path) -> Exported:
    """encoder.pt2, with what it is in `metadata.json` inside."""
    net, program, any_size = traced(parcel)
    buffer = io.BytesIO()
    told = "\n".join(f"{k}: {v}" for k, v in metadata(parcel).items())
    torch.export.save(program, buffer, extra_files={"metadata.txt": told})
    write_atomically(folder / FILE, lambda file: file.write(buffer.getbuffer()))
    lines = [
        "from pathlib import Path",
        "",
        "import torch",
        "",
        f'program = torch.export.load(Path(__file__).with_name("{FILE}"))',
        f"net = program.module()  # takes {taken_words(parcel, any_size)}",
    ]
    usage = write_load(folder, "net: images to a tuple, features first.", lines)
    opened = opened_by_load(folder)

    @torch.no_grad()
    def again(pixels: Tensor) -> list[Tensor]:
        return list(opened(net.inputs(parcel, pixels)))

    other = other_size(parcel) if any_size else None
    return Exported(FILE, version("torch"), again, usage, other_size=other)
