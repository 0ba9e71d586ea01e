"""Whether what was written is the encoder: opened again, the same images must give the same features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional as F

from moco.errors import MocoError
from moco.handover.parcel import Exported, Parcel
from moco.handover.photographs import Pixels

TOLERANCE = 1e-5
"""Of the features, as a share of the largest of them."""

GRAY_LEVEL = 1 / 255
"""Of prepared images: resizing in another library may round a pixel the other way."""


@dataclass(frozen=True)
class Comparison:
    """The largest differences, over all images and numbers."""

    images: int
    features: float
    """As a share of the largest feature."""
    pixels: float | None = None
    """Of values in [0, 1], after the target's own resizing; None where the target leaves that to others."""


@dataclass(frozen=True)
class Original:
    """What an encoder makes of real images, before it goes anywhere."""

    images: Sequence[Pixels]
    centred: Tensor
    """uint8, N x 3 x S x S; float32, N x C x S x S in [0, 1], where the encoder's images are no photographs."""
    outputs: list[Tensor]


def original(parcel: Parcel, images: Sequence[Pixels]) -> Original:
    """Our side of every comparison; raises MocoError where it is not finite."""
    centred = torch.stack([parcel.opened.preprocess.centre(image) for image in images])
    outputs = parcel.outputs(centred)
    if not all(bool(t.isfinite().all()) for t in outputs):
        raise MocoError("this encoder gives features that are not finite, so it is not exported; is it trained?")
    return Original(images, centred, outputs)


def compare(parcel: Parcel, exported: Exported, known: Original) -> Comparison:
    """Ours beside the target's, on real images. Raises MocoError beyond TOLERANCE or GRAY_LEVEL."""
    largest = _largest(known.outputs, exported.again(known.centred))
    if exported.other_size is not None:
        other = F.interpolate(known.centred.float(), exported.other_size, mode="bilinear")
        if not known.centred.is_floating_point():
            other = other.round().to(torch.uint8)
        largest = max(largest, _largest(parcel.outputs(other), exported.again(other)))
    if not largest <= TOLERANCE:
        raise MocoError(
            f"opened by {exported.opened_by}, it gives other features: they differ by {largest:.1e} of the largest, "
            f"and {TOLERANCE:g} is allowed; nothing is left behind"
        )
    return Comparison(len(known.images), largest, _compare_pixels(parcel, exported, known.images))


def _largest(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest difference of each output, as a share of its largest value; infinite where shapes differ."""
    if [t.shape for t in ours] != [t.shape for t in theirs]:
        return float("inf")
    shares = []
    for mine, yours in zip(ours, theirs, strict=True):
        scale = mine.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
        shares.append(float((mine - yours.float()).abs().max() / scale))
    return max(shares) if all(share == share for share in shares) else float("inf")


def _compare_pixels(parcel: Parcel, exported: Exported, images: Sequence[Pixels]) -> float | None:
    if exported.prepared is None:
        return None
    spread = torch.tensor(parcel.std).view(-1, 1, 1)
    largest = max(
        float(((parcel.opened.preprocess(image) - exported.prepared(PIL.Image.fromarray(image))) * spread).abs().max())
        for image in images
    )
    if largest > GRAY_LEVEL * 1.01:
        raise MocoError(
            f"{exported.opened_by} would prepare images otherwise: pixels differ by {largest * 255:.1f} gray levels "
            "of 255; nothing is left behind"
        )
    return largest
