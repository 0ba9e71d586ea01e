"""timm: a state dict under timm's names, the `create_model` line, and timm's preprocessing configuration."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import PIL.Image
from torch import Tensor

from moco.handover.absent import needs, version
from moco.handover.architecture import Model, Unnamed
from moco.handover.lines import classifier_place, head_source, timm_lines
from moco.handover.loadfile import opened_by_load, outputs_of, write_load
from moco.handover.parcel import Exported, Parcel
from moco.run.atomic import write_text
from moco.run.tensors import write_tensors

FILE = "encoder.pth"
CONFIG = "config.json"


def obstacle(parcel: Parcel) -> str | None:
    """torchvision's other families have other names and sometimes other layers in timm."""
    a = parcel.architecture
    if isinstance(a, Model) and a.library != "timm":
        return f"timm builds {a.name} from other layers than torchvision"
    if isinstance(a, Unnamed):
        return f"timm does not build {a.words}"
    if parcel.head is not None and isinstance(a, Model):
        return "models of timm differ in where they keep a head"
    if parcel.head is not None and head_source(parcel.head) is None:
        return "this projection head is not made of linear layers, BatchNorm and ReLU"
    return None


def write(parcel: Parcel, folder: Path) -> Exported:
    """encoder.pth, config.json (timm's pretrained_cfg), and load.py with the `create_model` line."""
    needs("the timm format", "timm")
    place = classifier_place(parcel.buildable) if parcel.head is not None else None
    write_tensors(folder / FILE, parcel.tensors(head=place))
    write_text(folder / CONFIG, json.dumps(pretrained_cfg(parcel), indent=2) + "\n")
    source = head_source(parcel.head) if parcel.head is not None else None
    lines = [
        "import json",
        "from pathlib import Path",
        "",
        "import torch",
        *timm_lines(parcel.buildable, source),
        f'net.load_state_dict(torch.load(Path(__file__).with_name("{FILE}"), weights_only=True))',
        "net.eval()",
        f'config = json.loads(Path(__file__).with_name("{CONFIG}").read_text())',
        "preprocess = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=config))",
    ]
    usage = write_load(folder, f"net: images N x 3 x {parcel.size} x {parcel.size} to features, by timm.", lines)
    again = outputs_of(opened_by_load(folder), parcel, place)
    return Exported(FILE, version("timm"), again, usage, prepared=lambda image: _prepared(parcel, image))


def pretrained_cfg(parcel: Parcel) -> dict[str, Any]:
    """The preprocessing in timm's words: the shorter side to size / crop_pct, the central square, mean and std."""
    size, short = parcel.size, parcel.opened.preprocess.short_side
    share = size / short
    if math.floor(size / share) < short:  # timm divides and rounds down
        share = math.nextafter(share, 0)
    return {
        "input_size": [3, size, size],
        "interpolation": "bilinear",
        "crop_pct": share,
        "crop_mode": "center",
        "mean": list(parcel.mean),
        "std": list(parcel.std),
        "num_classes": 0,
    }


def _prepared(parcel: Parcel, image: PIL.Image.Image) -> Tensor:
    import timm

    told = timm.data.resolve_data_config(pretrained_cfg=pretrained_cfg(parcel))
    prepared: Tensor = timm.data.create_transform(**told)(image)
    return prepared
