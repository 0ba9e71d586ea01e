"""Any encoder, in two lines of Python: a run's, a library's, or one from a file of another library."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from moco.backbones import build_backbone
from moco.device import seeded
from moco.encoder import build_encoder
from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.recipe import Normalize, Recipe, channels_of
from moco.run.directory import RunDirectory, find_run, is_run
from moco.run.encoder_file import FORMAT, read_encoder
from moco.run.foreign import Tensors, fill_, find_prefix, read_foreign, resnet_name
from moco.run.tensors import read_tensors

_LIBRARIES = ("torchvision:", "timm:")
_SIZE = 224


@dataclass(frozen=True)
class Opened:
    """An encoder of any origin: images N x 3 x S x S to features N x D, and how to make it again untrained."""

    backbone: nn.Module
    preprocess: Preprocess
    untrained: Callable[[int], nn.Module]
    """The same architecture before its first step, from a seed."""
    about: str
    """What it is, in a few words."""
    whole: nn.Module | None = None
    """With the projection head: images to unit vectors N x C. None where there is no head."""
    run: RunDirectory | None = None
    """The run it belongs to."""
    recipe: Recipe | None = None
    """What it was trained by, where the file says so."""
    trained: bool = True
    """Whether its weights came from anywhere; a library's model without a file has none."""


def load(path: str | os.PathLike[str], head: bool = False) -> tuple[nn.Module, Preprocess]:
    """An encoder in eval mode, and the preprocessing that belongs to it; `path` is what `open_encoder` takes.

    `preprocess` maps a PIL image or an H x W x 3 uint8 array to a 3 x S x S tensor (of an encoder of other than
    photographs, an array H x W x C of its data set's bands and type); the encoder maps N x 3 x S x S to features N x D;
    with `head`, to the N x C unit vectors of the projection head.
    """
    opened = open_encoder(path)
    if head and opened.whole is None:
        raise MocoError(f"{path} has no projection head; load it without head=True for its features")
    return opened.whole if head and opened.whole is not None else opened.backbone, opened.preprocess


def open_encoder(path: str | os.PathLike[str]) -> Opened:
    """The encoder of a run, an encoder.pt, a library's model, or a file of another library.

    `torchvision:resnet50` is untrained, `torchvision:resnet50=weights.pth` takes its weights from a file; so does
    `timm:NAME`. A file alone may be a checkpoint of the official MoCo (v1, v2, v3), PyContrast, detectron2 or a plain
    state_dict of a ResNet, whose depth and width are read off its tensors. Raises MocoError where anything but a head
    finds no place.
    """
    text = os.fspath(path)
    for library in _LIBRARIES:
        if text.startswith(library):
            name, _, file = text.removeprefix(library).partition("=")
            return _from_library(library, name, Path(file).expanduser() if file else None)
    place = Path(text).expanduser()
    if place.is_dir():
        run = find_run(place)
        if not run.encoder.exists():
            raise MocoError(f"{path} has no encoder yet; it is written with the first checkpoint")
        return _from_run(run.encoder, run)
    if not place.exists():
        raise MocoError(
            f"there is no run, file or model {text}; models are torchvision:NAME[=FILE] or timm:NAME[=FILE]"
        )
    if place.suffix not in (".pkl", ".safetensors") and read_tensors(place).get("format") == FORMAT:
        return _from_run(place, RunDirectory(place.parent) if is_run(place.parent) else None)
    return _from_file(place)


def _from_run(file: Path, run: RunDirectory | None) -> Opened:
    encoder, recipe, step = read_encoder(file)

    def untrained(seed: int) -> nn.Module:
        with seeded(seed, torch.device("cpu")):
            made, _ = build_encoder(replace(recipe.encoder, norm_group=None), channels_of(recipe.pixels))
        return made.backbone

    preprocess = Preprocess.of(recipe)
    about = f"{recipe.encoder.backbone} after {step:,} steps of {recipe.name}"
    return Opened(encoder.backbone, preprocess, untrained, about, encoder, run, recipe)


def _from_library(library: str, name: str, file: Path | None) -> Opened:
    full = name if library == "torchvision:" else f"timm:{name}"
    opened = _built(full, "imagenet", _timm_preprocess(name) if library == "timm:" else Preprocess(_SIZE, Normalize()))
    if file is None:
        return replace(opened, about=f"{library}{name}, untrained", trained=False)
    tensors, arch = read_foreign(file)
    landmark = next(iter(opened.backbone.state_dict()))
    prefix = find_prefix(tensors, landmark, file)
    _refuse_other_heads(prefix, arch, opened.backbone, file)
    fill_(opened.backbone, tensors, prefix, file)
    return replace(opened, about=f"{library}{name} from {file.name}{f' ({prefix}*)' if prefix else ''}")


def _from_file(file: Path) -> Opened:
    tensors, arch = read_foreign(file)
    if any(name.endswith("blocks.0.attn.qkv.weight") for name in tensors):
        return _vit(file, tensors, arch)
    if not any(name.endswith("layer1.0.conv1.weight") for name in tensors):
        raise MocoError(
            f"{file} is not a ResNet, so its architecture cannot be read off its tensors; name it: "
            f"torchvision:NAME={file} or timm:NAME={file}"
        )
    prefix = find_prefix(tensors, "layer1.0.conv1.weight", file)
    name, stem = resnet_name(tensors, prefix, file)
    opened = _built(name, "small" if stem == "small" else "imagenet", Preprocess(_SIZE, Normalize()))
    fill_(opened.backbone, tensors, prefix, file)
    return replace(opened, about=f"{name} from {file.name}{f' ({prefix}*)' if prefix else ''}")


def _vit(file: Path, tensors: Tensors, arch: str | None) -> Opened:
    """A vision transformer of MoCo v3, whose ViT-S has 12 heads where all others have 6: shapes cannot tell."""
    prefix = find_prefix(tensors, "blocks.0.attn.qkv.weight", file)
    names = {"vit_small": "vit_small_patch16_224", "vit_base": "vit_base_patch16_224"}
    if arch not in names or not prefix.endswith("base_encoder."):
        raise MocoError(f"{file} is a vision transformer that does not say which; name it: timm:NAME={file}")
    options = {"num_heads": 12} if arch == "vit_small" else {}
    preprocess = Preprocess(_SIZE, Normalize())
    opened = _built(f"timm:{names[arch]}", "imagenet", preprocess, **options)
    fill_(opened.backbone, tensors, prefix, file)
    return replace(opened, about=f"MoCo v3 {arch} from {file.name} ({prefix}*)")


def _refuse_other_heads(prefix: str, arch: str | None, net: nn.Module, file: Path) -> None:
    if prefix.endswith("base_encoder.") and arch == "vit_small":
        heads = {m.num_heads for m in net.modules() if hasattr(m, "num_heads")}
        if heads != {12}:
            raise MocoError(f"{file}: ViT-S of MoCo v3 has 12 heads, not {heads}; give the file alone")


def _built(name: str, stem: Literal["imagenet", "small"], preprocess: Preprocess, **options: Any) -> Opened:
    def untrained(seed: int) -> nn.Module:
        with seeded(seed, torch.device("cpu")):
            if not options:
                return build_backbone(name, stem)[0].eval()
            import timm

            made: nn.Module = timm.create_model(name.removeprefix("timm:"), num_classes=0, **options)
            return made.eval()

    if options:
        build_backbone(name, stem)  # says so where timm is missing
    return Opened(untrained(0), preprocess, untrained, name)


def _timm_preprocess(name: str) -> Preprocess:
    try:
        import timm
    except ImportError:
        return Preprocess(_SIZE, Normalize())  # building the model explains what is missing
    if not timm.is_model(name):
        return Preprocess(_SIZE, Normalize())
    told = timm.get_pretrained_cfg(name)
    if told is None:
        return Preprocess(_SIZE, Normalize())
    return Preprocess(int(told.input_size[-1]), Normalize(mean=tuple(told.mean), std=tuple(told.std)))
