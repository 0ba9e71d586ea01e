"""detectron2: a pickle of arrays under its names, and the configuration that goes with them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moco.handover.architecture import IMAGENET, ResNet
from moco.handover.parcel import Exported, Parcel
from moco.handover.reading import DEPTHS, Names, Plan, read_features
from moco.run.atomic import write_atomically, write_text

FILE = "encoder.pkl"
CONFIG = "config.yaml"

NAMES = Names("stem.conv1", ("res2", "res3", "res4", "res5"), "shortcut", lambda convolution: f"{convolution}.norm")


def obstacle(parcel: Parcel) -> str | None:
    """Detectron2's ResNets have the stem of the paper, five depths, and basic blocks at one width."""
    a = parcel.architecture
    if parcel.head is not None:
        return "Detectron2 has no place for a projection head"
    if not isinstance(a, ResNet):
        return f"Detectron2 builds ResNets, not {a.words}"
    if a.stem != IMAGENET:
        return f"Detectron2's ResNets begin with a {IMAGENET.words}, not a {a.stem.words}"
    if DEPTHS.get(a.layers) != (a.block, a.depths):
        return f"Detectron2 builds ResNets of depth {', '.join(map(str, DEPTHS))}, not {a.words}"
    if a.block == "basic" and a.width != 64:
        return f"Detectron2 builds ResNet-18 and 34 at width 64 alone, not {a.words}"
    return None


def write(parcel: Parcel, folder: Path) -> Exported:
    """encoder.pkl in the form of the official converter, and config.yaml."""
    a = parcel.architecture
    assert isinstance(a, ResNet)
    arrays = {detectron_name(name): t.numpy() for name, t in parcel.tensors().items()}
    content = {"model": arrays, "__author__": "MOCO", "matching_heuristics": True}
    write_atomically(folder / FILE, lambda file: pickle.dump(content, file))
    told = configuration(parcel, a)
    write_text(folder / CONFIG, yaml_of(told))
    usage = (
        f"_BASE_ your detectron2 configuration on {CONFIG}; it names {FILE}, RGB pixels with their mean and deviation, "
        "and trains all layers with SyncBN"
    )
    plan = Plan(a.layers, groups=int(told["MODEL"]["RESNETS"]["NUM_GROUPS"]))

    def again(pixels: Tensor) -> list[Tensor]:
        with (folder / FILE).open("rb") as file:
            read: dict[str, Any] = pickle.load(file)["model"]  # of our own writing
        tensors = {name: torch.from_numpy(np.asarray(array)) for name, array in read.items()}
        mean, std = (torch.tensor(told["MODEL"][name]).view(1, 3, 1, 1) for name in ("PIXEL_MEAN", "PIXEL_STD"))
        return [read_features(tensors, NAMES, plan, (pixels - mean) / std)]

    return Exported(FILE, "a reading of Detectron2's format", again, usage)


def detectron_name(name: str) -> str:
    """A tensor's name in torchvision's ResNet to its name in Detectron2 (the official convert-pretrain script)."""
    name = re.sub(r"^layer([1-4])\.", lambda m: f"res{int(m[1]) + 1}.", name)
    name = re.sub(r"bn([1-3])\.", r"conv\1.norm.", name)
    name = name.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
    return name if name.startswith("res") else f"stem.{name}"


def configuration(parcel: Parcel, a: ResNet) -> dict[str, Any]:
    """The keys of Detectron2's configuration that belong to these weights (official moco/detection)."""
    expansion = 4 if a.block == "bottleneck" else 1
    return {
        "MODEL": {
            "WEIGHTS": FILE,
            "PIXEL_MEAN": [round(255 * v, 6) for v in parcel.mean],
            "PIXEL_STD": [round(255 * v, 6) for v in parcel.std],
            "BACKBONE": {"FREEZE_AT": 0},
            "RESNETS": {
                "DEPTH": a.layers,
                "NUM_GROUPS": a.groups,
                "WIDTH_PER_GROUP": a.group_width * a.width // 64,
                "STEM_OUT_CHANNELS": a.width,
                "RES2_OUT_CHANNELS": a.width * expansion,
                "STRIDE_IN_1X1": False,
                "NORM": "SyncBN",
            },
        },
        "INPUT": {"FORMAT": "RGB"},
        "VERSION": 2,
    }


def yaml_of(content: dict[str, Any], indent: str = "") -> str:
    """Nested keys with numbers, words, truths and lists of numbers."""
    lines = []
    for key, value in content.items():
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:\n{yaml_of(value, indent + '  ')}")
        else:
            lines.append(f"{indent}{key}: {_scalar(value)}\n")
    return "".join(lines)


def _scalar(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
