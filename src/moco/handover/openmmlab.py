"""What MMDetection and MMPretrain share: torchvision's names, and a configuration that is Python."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moco.handover.architecture import ResNet
from moco.handover.parcel import Parcel
from moco.handover.reading import DEPTHS, Names, Plan, read_features
from moco.run.atomic import write_text
from moco.run.tensors import read_tensors

FILE = "encoder.pth"
CONFIG = "config.py"

NAMES = Names(
    "conv1",
    ("layer1", "layer2", "layer3", "layer4"),
    "downsample.0",
    lambda convolution: re.sub(r"conv(\d)$", r"bn\1", re.sub(r"downsample\.0$", "downsample.1", convolution)),
)


def no_such_resnet(parcel: Parcel, library: str) -> str | None:
    """Why the ResNets of `library` are not this encoder, whatever its stem."""
    a = parcel.architecture
    if parcel.head is not None:
        return f"{library}'s backbones have no place for a projection head"
    if not isinstance(a, ResNet):
        return f"{library} names the tensors of {a.words} otherwise"
    if DEPTHS.get(a.layers) != (a.block, a.depths):
        return f"{library} builds ResNets of depth {', '.join(map(str, DEPTHS))}, not {a.words}"
    if a.groups == 1 and a.group_width != 64:
        return f"{library}'s bottlenecks without groups have the usual width, not {a.words}'s"
    if a.groups > 1 and a.width != 64:
        return f"{library} builds ResNeXts of the usual width, not {a.words}"
    return None


def numbers(a: ResNet, group_width: str) -> dict[str, Any]:
    """The arguments of a backbone beside its type; `group_width` is what the library calls the width of a group."""
    found: dict[str, Any] = {"depth": a.layers}
    if a.width != 64:
        found |= {"stem_channels": a.width, "base_channels": a.width}
    return found | ({"groups": a.groups, group_width: a.group_width} if a.groups > 1 else {})


def written(value: Any, indent: str = "") -> str:
    """`dict(a=1, b=dict(...))`, as the configurations of OpenMMLab are written."""
    if not isinstance(value, dict):
        return repr(value)
    inner = indent + "    "
    return "dict(\n" + "".join(f"{inner}{k}={written(v, inner)},\n" for k, v in value.items()) + f"{indent})"


def write_config(folder: Path, library: str, model: dict[str, Any]) -> None:
    """config.py, to be inherited from with `_base_`."""
    write_text(
        folder / CONFIG,
        f'"""The part of a {library} configuration that belongs to {FILE}."""\n\nmodel = {written(model)}\n',
    )


def reading(folder: Path, prefix: str) -> Callable[[Tensor], list[Tensor]]:
    """Features by the configuration and the tensors that were written, pixels normalised as the configuration says."""

    def again(pixels: Tensor) -> list[Tensor]:
        model = runpy.run_path(str(folder / CONFIG))["model"]
        backbone, told = model["backbone"], model["data_preprocessor"]
        tensors = read_tensors(folder / FILE)["state_dict"]
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        small = backbone["type"] == "ResNet_CIFAR"
        plan = Plan(backbone["depth"], backbone.get("groups", 1), 1 if small else 2, not small)
        mean, std = (torch.tensor(told[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
        return [read_features(tensors, NAMES, plan, (pixels - mean) / std)]

    return again


def pixel_words(parcel: Parcel) -> dict[str, list[float]]:
    """Mean and deviation of values in [0, 255]."""
    return {name: [round(255 * v, 6) for v in of] for name, of in (("mean", parcel.mean), ("std", parcel.std))}
