"""The encoder of a query or key: backbone and projection head, normalised in groups of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moco import recipe as r
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
                    f"moco.Encoder: {argument} is a {type(module).__name__}; give a torch.nn.Module, or a name to "
                    "moco.build_encoder"
                )
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """The query or key of each image, of unit length, in fp32."""
        self._refuse(images)
        projected = self.head(self.backbone(images))
        with torch.autocast(images.device.type, enabled=False):
            return F.normalize(projected.float(), dim=1)

    def _refuse(self, images: Tensor) -> None:
        fine = isinstance(images, Tensor) and images.ndim == 4 and images.is_floating_point()
        if not fine:
            what = f"a {type(images).__name__}"
            if isinstance(images, Tensor):
                what = f"a tensor of {' x '.join(map(str, images.shape))}, {str(images.dtype).removeprefix('torch.')}"
            raise MocoError(
                f"moco.Encoder: images is {what}; give N x C x S x S of floating point, normalised, as moco.views "
                "makes them"
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


def _head(choice: r.Encoder, width: int) -> nn.Sequential:
    """Linear for one layer (v1); Linear, ReLU, Linear for two (v2), with BatchNorm behind each where asked (SimCLR)."""
    layers: list[nn.Module] = []
    for layer in range(choice.head_layers):
        last = layer == choice.head_layers - 1
        out = choice.dim if last else width
        layers.append(nn.Linear(width, out, bias=not choice.head_norm))
        if choice.head_norm:
            layers.append(nn.BatchNorm1d(out))
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
