"""safetensors: the tensors, and in the file's own metadata what they are and how images are prepared."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from moco.foreign.exported import TOLD
from moco.handover.absent import needs, version
from moco.handover.architecture import Model, Unnamed
from moco.handover.lines import head_source, timm_lines, torchvision_lines, versioned
from moco.handover.loadfile import opened_by_load, outputs_of, write_load
from moco.handover.parcel import Exported, Parcel
from moco.recipe import to_json
from moco.run.atomic import write_atomically

FILE = "encoder.safetensors"


def obstacle(parcel: Parcel) -> str | None:
    """It holds any network that a line of Python builds; a head goes behind it."""
    a = parcel.architecture
    return f"nothing in the file could say how to build {a.words}" if isinstance(a, Unnamed) else versioned(a)


def write(parcel: Parcel, folder: Path) -> Exported:
    """encoder.safetensors with `backbone.*` and `head.*`, and load.py."""
    needs("the safetensors format", "safetensors")
    tensors = {f"backbone.{k}": v for k, v in parcel.tensors().items()}
    if parcel.head is not None:
        tensors |= {f"head.{k}": v.detach().contiguous() for k, v in parcel.head.state_dict().items()}
    write_safetensors(folder / FILE, tensors, metadata(parcel))
    return _written(parcel, folder)


def _written(parcel: Parcel, folder: Path) -> Exported:
    a = parcel.buildable
    build = timm_lines(a) if isinstance(a, Model) and a.library == "timm" else torchvision_lines(a)
    head = head_source(parcel.head) if parcel.head is not None else None
    if head is not None and not head.startswith("nn.Sequential"):
        head = f"nn.Sequential({head})"
    lines = [
        "from pathlib import Path",
        "",
        "from safetensors.torch import load_file",
        *build,
        f'tensors = load_file(Path(__file__).with_name("{FILE}"))',
        'net.load_state_dict({k[9:]: t for k, t in tensors.items() if k.startswith("backbone.")})',
        "net.eval()",
    ]
    if head:
        lines += [
            f"head = {head}",
            'head.load_state_dict({k[5:]: t for k, t in tensors.items() if k.startswith("head.")})',
            "net = nn.Sequential(net, head).eval()",
        ]
        if not any(line == "from torch import nn" for line in lines):
            lines.insert(3, "from torch import nn")
    usage = write_load(folder, f"net: images N x 3 x {parcel.size} x {parcel.size} to features.", lines)
    again = outputs_of(opened_by_load(folder), parcel, "1" if head else None)
    return Exported(FILE, version("safetensors"), again, usage)


def metadata(parcel: Parcel) -> dict[str, str]:
    """What the file says of itself; safetensors takes text alone, so lists and the recipe are JSON."""
    recipe = parcel.opened.recipe
    told = {
        "format": "pt",
        "about": parcel.opened.about,
        "architecture": parcel.architecture.words,
        "image_size": str(parcel.size),
        "short_side": str(parcel.opened.preprocess.short_side),
        "mean": json.dumps(parcel.mean),
        "std": json.dumps(parcel.std),
    }
    told["export"] = json.dumps({key: parcel.told()[key] for key in TOLD})
    pixels = parcel.opened.preprocess.pixels
    told |= {"pixels": json.dumps(asdict(pixels))} if pixels is not None else {}
    return told | ({"recipe": to_json(recipe)} if recipe is not None else {})


def write_safetensors(path: Path, tensors: dict[str, Tensor], told: dict[str, str]) -> None:
    """Replace a file of named tensors and text."""
    from safetensors.torch import save

    content = save(tensors, told)
    write_atomically(path, lambda file: file.write(content))
