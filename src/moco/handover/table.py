"""The formats by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moco.errors import MocoError
from moco.handover import (
    detectron2,
    huggingface,
    mmdetection,
    mmpretrain,
    official,
    onnx,
    safetensors,
    timm,
    torch_export,
    torchvision,
)
from moco.handover.parcel import Exported, Parcel


@dataclass(frozen=True)
class Format:
    """Two functions of a file here."""

    obstacle: Callable[[Parcel], str | None]
    """What the target cannot express of this encoder, as the beginning of a sentence."""
    write: Callable[[Parcel, Path], Exported]
    """Writes into an empty folder; raises MocoError where a library is missing."""
    pixels: bool = False
    """Whether it can take uint8 pixels (`--preprocess`)."""
    bands: bool = False
    """Whether it leaves to others what images are made of, so that they need not be photographs."""


FORMATS = {
    "torchvision": Format(torchvision.obstacle, torchvision.write, bands=True),
    "timm": Format(timm.obstacle, timm.write),
    "safetensors": Format(safetensors.obstacle, safetensors.write, bands=True),
    "onnx": Format(onnx.obstacle, onnx.write, pixels=True, bands=True),
    "torch-export": Format(torch_export.obstacle, torch_export.write, pixels=True, bands=True),
    "huggingface": Format(huggingface.obstacle, huggingface.write),
    "detectron2": Format(detectron2.obstacle, detectron2.write),
    "mmdetection": Format(mmdetection.obstacle, mmdetection.write),
    "mmpretrain": Format(mmpretrain.obstacle, mmpretrain.write),
    "official": Format(official.obstacle, official.write),
}


def refuse_unknown_format(name: str) -> None:
    """Raise MocoError with the names there are."""
    if name not in FORMATS:
        raise MocoError(f"there is no format {name!r}; take {', '.join(FORMATS)}")


def obstacle(name: str, parcel: Parcel) -> str | None:
    """Why a format cannot hold a parcel; None where it can."""
    if parcel.pixels and not FORMATS[name].pixels:
        return f"{name} holds weights, which take no pixels (--preprocess)"
    if parcel.opened.preprocess.pixels is not None:
        if parcel.pixels:
            return "--preprocess is for RGB photographs, which this encoder's images are not"
        if not FORMATS[name].bands:
            return f"{name} is about RGB photographs, which this encoder's images are not"
    return FORMATS[name].obstacle(parcel)


def refuse_what_does_not_fit(name: str, parcel: Parcel) -> None:
    """Raise MocoError with the reason and the formats that can hold this encoder."""
    reason = obstacle(name, parcel)
    if reason is not None:
        others = [other for other in FORMATS if obstacle(other, parcel) is None]
        hold = f"these formats hold this encoder: {', '.join(others)}" if others else "leave it out"
        raise MocoError(f"{reason}; {hold}")
