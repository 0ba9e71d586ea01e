"""What a Hugging Face folder says about how images are prepared, and what it says that shapes cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.recipe import Normalize
from moco.recipe.vit import usual_heads


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
    for name in ("downsample_in_bottleneck", "downsample_in_first_stage"):
        if settings.get(name):
            raise MocoError(f"{name} is on in its config.json: a stride elsewhere than in torchvision's ResNet")
    usual = {"vit": "gelu", "dinov2": "gelu", "convnext": "gelu", "resnet": "relu"}
    kind, activation = settings.get("model_type"), settings.get("hidden_act")
    if kind in usual and activation not in (None, usual[str(kind)]):
        raise MocoError(f"hidden_act is {activation} in its config.json; {usual[str(kind)]} is what is made here")
    heads, width = settings.get("num_attention_heads"), settings.get("hidden_size")
    if kind in ("vit", "dinov2") and isinstance(width, int) and heads not in (None, usual_heads(width)):
        raise MocoError(f"its config.json has {heads} heads where {usual_heads(width)} are usual: this ViT is not made")
