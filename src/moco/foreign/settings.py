"""What a Hugging Face folder says about how images are prepared, and what it says that shapes cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.recipe import Normalize

_KINDS = {"resnet", "convnext", "vit", "vit_mae", "vit_msn", "ijepa", "dinov2", "dinov2_with_registers"}
"""The `model_type` of what is made here."""


def preprocess_of(settings: Mapping[str, Any], otherwise: Preprocess) -> Preprocess:
    """Size and normalisation by preprocessor_config.json; what it does not say is taken from `otherwise`."""
    told = settings.get("pretrained_cfg")
    if isinstance(told, Mapping):  # timm's
        size = (told.get("input_size") or [None])[-1]
        settings = {"size": size, "image_mean": told.get("mean"), "image_std": told.get("std")}
    size = settings.get("crop_size") or settings.get("size")
    if isinstance(size, Mapping):
        size = size.get("height") or size.get("shortest_edge")
    mean, std = (settings.get(f"image_{part}") for part in ("mean", "std"))
    normalize = otherwise.normalize
    if isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) == 3:
        normalize = Normalize(mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))
    return Preprocess(size if isinstance(size, int) else otherwise.size, normalize)


def refuse_what_shapes_hide(settings: Mapping[str, Any]) -> None:
    """Raise MocoError where a setting changes what the same shapes compute: another stride, activation or epsilon."""
    kind, activation = settings.get("model_type"), settings.get("hidden_act")
    for name in ("downsample_in_bottleneck", "downsample_in_first_stage"):
        if kind == "resnet" and settings.get(name):
            raise MocoError(f"{name} is on in its config.json: a stride elsewhere than in torchvision's ResNet")
    usual = "relu" if kind == "resnet" else "gelu"
    if kind in _KINDS and activation not in (None, usual):
        raise MocoError(f"hidden_act is {activation} in its config.json; {usual} is what is made here")
    eps = settings.get("layer_norm_eps")
    if kind == "convnext" and eps not in (None, 1e-12):
        raise MocoError(f"layer_norm_eps is {eps} in its config.json; 1e-12 is what is made here")


def words_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Strings and numbers of config.json as the words of a file, by `config.` and their names."""
    return {f"config.{key}": word for key, word in settings.items() if isinstance(word, str | int | float)}
