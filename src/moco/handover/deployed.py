"""The encoder as one graph: pixels or normalised images in, features and projections out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from moco.errors import MocoError
from moco.handover.parcel import Parcel


class Deployed(nn.Module):
    """Features (N x D) of images, and unit vectors (N x C) where the head is kept.

    Images are float32 N x 3 x S x S, normalised; or uint8 N x S x S x 3, as a decoder gives them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, parcel: Parcel) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(parcel.opened.backbone).eval()
        self.head = copy.deepcopy(parcel.head).eval() if parcel.head is not None else None
        self.pixels = parcel.pixels
        self.register_buffer("mean", torch.tensor(parcel.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(parcel.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features; features and projections with a head."""
        if self.pixels:
            images = (images.permute(0, 3, 1, 2).to(torch.float32) / 255 - self.mean) / self.std
        features = self.backbone(images)
        return (features,) if self.head is None else (features, F.normalize(self.head(features), dim=1))

    def inputs(self, parcel: Parcel, pixels: Tensor) -> Tensor:
        """Images as they go in, of uint8 N x 3 x S x S."""
        return pixels.permute(0, 2, 3, 1).contiguous() if self.pixels else parcel.normalised(pixels)


def other_size(parcel: Parcel) -> int:
    """A side of images that is not the encoder's own, to try it by."""
    return parcel.size + (32 if parcel.size >= 64 else parcel.size // 2)


def traced(parcel: Parcel) -> tuple[Deployed, ExportedProgram, bool]:
    """The graph for any number of images, and whether it also takes any size.

    A network that is bound to one size (a vision transformer) keeps it. Raises MocoError where it cannot be traced.
    """
    if not hasattr(Dim, "DYNAMIC"):
        raise MocoError(f"this format needs torch 2.6 or later, and here is {torch.__version__}; take another format")
    net = Deployed(parcel).eval()
    if _takes(net, net, parcel):
        try:
            program = _program(net, parcel, any_size=True)
        except Exception:  # bound to a size in the graph alone
            program = None
        if program is not None and _takes(net, program.module(), parcel):
            return net, program, True
    try:
        return net, _program(net, parcel, any_size=False), False
    except Exception as error:  # a network may do anything in its forward
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise MocoError(f"torch cannot trace {parcel.architecture.words}: {reason}; take another format") from None


def _takes(net: Deployed, form: nn.Module, parcel: Parcel) -> bool:
    """Whether images of another side go through `net` in this form."""
    side = other_size(parcel)
    try:
        with torch.no_grad():
            form(net.inputs(parcel, torch.zeros(1, 3, side, side, dtype=torch.uint8)))
    except Exception:  # whatever it says, it does not take them
        return False
    return True


def _program(net: Deployed, parcel: Parcel, any_size: bool) -> ExportedProgram:
    size = parcel.size
    pixels = torch.arange(2 * 3 * size * size).remainder(251).to(torch.uint8).view(2, 3, size, size)
    dims = {0: Dim.DYNAMIC}
    if any_size:
        dims |= dict.fromkeys((1, 2) if parcel.pixels else (2, 3), Dim.DYNAMIC)
    with torch.no_grad():
        return torch.export.export(net, (net.inputs(parcel, pixels),), dynamic_shapes={"images": dims})


def taken_words(parcel: Parcel, any_size: bool) -> str:
    """What goes in, for whoever uses the graph."""
    side = "S" if any_size else str(parcel.size)
    if parcel.pixels:
        return f"uint8 pixels, N x {side} x {side} x 3, RGB"
    return f"float32, N x 3 x {side} x {side}, ((RGB / 255) - {list(parcel.mean)}) / {list(parcel.std)}"
