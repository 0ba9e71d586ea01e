"""The encoder of a query or key: backbone and projection head, normalised in groups of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moco import recipe as r
from moco.arguments import words
from moco.backbones import build_backbone
from moco.errors import MocoError
from moco.ops.batch_norm import group_batch_norm


class Encoder(nn.Module):
    """f: images (N x C x S x S) to unit vectors (N x dim), through features (N x D).

    `backbone` maps images to features, `head` features to the numbers that are then made unit vectors: any modules.
    `moco.build_encoder` makes both from names. Raises MocoError for what is no module, and, called, for other shapes
    and types and for images on another device.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        for argument, module in (("backbone", backbone), ("head", head)):
            if not isinstance(module, nn.Module):
                raise MocoError(
                    f"moco.Encoder: {argument} is {words(module)}; give a torch.nn.Module, or a name to "
                    "moco.build_encoder"
                )
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor, kept: Tensor | None = None, predictor: nn.Module | None = None) -> Tensor:
        """The query or key of each image, of unit length, in fp32: of the patches `kept` alone, where it is given.

        A query's `predictor` stands between head and unit length (v3).
        """
        self._refuse(images)
        return self.vectors(self.features(images, kept), predictor)

    def features(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """What the backbone makes of images (N x D)."""
        found: Tensor = self.backbone(images) if kept is None else self.backbone(images, kept)
        return found

    def vectors(self, features: Tensor, predictor: nn.Module | None = None) -> Tensor:
        """What head and predictor make of features."""
        projected = self.head(features)
        if predictor is not None:
            projected = predictor(projected)
        with torch.autocast(features.device.type, enabled=False):
            return F.normalize(projected.float(), dim=1)

    def _refuse(self, images: Tensor) -> None:
        fine = isinstance(images, Tensor) and images.ndim == 4 and images.is_floating_point()
        if not fine:
            raise MocoError(
                f"moco.Encoder: images is {words(images)}; give N x C x S x S of floating point, normalised, "
                "as moco.views makes them"
            )
        held = next(self.parameters(), images)
        if held.device != images.device:
            raise MocoError(
                f"moco.Encoder: images on {images.device} and the encoder on {held.device}; put both on one device, "
                f"such as images.to({str(held.device)!r})"
            )


def build_encoder(choice: r.Encoder, channels: int = 3) -> tuple[Encoder, int]:
    """The encoder of a recipe for so many channels, untrained, and D, the length of its backbone's features."""
    backbone, width = build_backbone(choice.backbone, choice.stem, channels)
    encoder = Encoder(backbone, _head(choice, width))
    if choice.frozen_patches:
        _projection_of_patches(backbone, choice.backbone).requires_grad_(False)
    if choice.norm_group is not None:
        group_batch_norm(encoder, choice.norm_group)
    return encoder, width


def norm_words(encoder: Encoder, choice: r.Encoder) -> str:
    """What there is to say about BatchNorm groups: that a backbone without BatchNorm needs none; else nothing."""
    if choice.norm_group is None or any("BatchNorm" in type(m).__name__ for m in encoder.backbone.modules()):
        return ""
    layer = "LayerNorm and " if any("LayerNorm" in type(m).__name__ for m in encoder.backbone.modules()) else ""
    return (
        f"{choice.backbone} has {layer}no BatchNorm: no image sees another in it, so it needs no groups "
        "(--encoder.norm-group) and nothing leaks"
    )


def build_predictor(choice: r.Predictor, encoder: r.Encoder) -> nn.Sequential:
    """The predictor of a recipe (v3, section 3), untrained."""
    norms = ["plain" if choice.norm_last else "none", *["scaled"] * (choice.layers - 1)]
    predictor = _mlp([encoder.dim, *[choice.width] * (choice.layers - 1), encoder.dim], norms[::-1], bias=False)
    if encoder.norm_group is not None:
        group_batch_norm(predictor, encoder.norm_group)
    return predictor


def _head(choice: r.Encoder, width: int) -> nn.Sequential:
    """Linear for one layer (v1); Linear, ReLU, Linear for two (v2), with BatchNorm behind each where asked (SimCLR)."""
    between = choice.head_layers - 1
    norms = [*["scaled"] * between, choice.head_end] if choice.head_norm else ["none"] * (between + 1)
    return _mlp([width, *[choice.head_width or width] * between, choice.dim], norms, bias=not choice.head_norm)


def _mlp(widths: list[int], norms: list[str], bias: bool) -> nn.Sequential:
    """Linear layers from width to width with ReLU between; BatchNorm behind each that is not "none"."""
    layers: list[nn.Module] = []
    for layer, norm in enumerate(norms):
        layers.append(nn.Linear(widths[layer], widths[layer + 1], bias=bias))
        if norm != "none":
            layers.append(nn.BatchNorm1d(widths[layer + 1], affine=norm == "scaled"))
        if layer < len(norms) - 1:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _projection_of_patches(backbone: nn.Module, name: str) -> nn.Module:
    try:
        return backbone.get_submodule("patch_embed.proj")
    except AttributeError:
        raise MocoError(f"--encoder.frozen-patches: {name} has no projection of patches; it is for ViTs") from None
