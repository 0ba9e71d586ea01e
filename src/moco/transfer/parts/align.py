"""RoIAlign (Mask R-CNN, arXiv:1703.06870, section 3): features at regular places of a box, between pixels, averaged.

On a CPU and for small features it is two products of matrices: what a bin takes from a picture is the product of what
it takes from the columns and what it takes from the rows. There torchvision's loop is the slowest part of a step.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import roi_align

SMALL = 4096
"""Pixels of features up to which the products are quicker; their work grows with all pixels, the loop's does not."""


def align(features: Tensor, rows: Tensor, size: int, scale: float) -> Tensor:
    """Features (N x C x H x W) of boxes (R x 5: image, left, top, right, bottom): R x C x size x size.

    `scale` times a side of a box is one in pixels of the features. In fp32: a place between two pixels has more digits
    than bf16 keeps.
    """
    features, rows = features.float(), rows.float()
    if features.device.type == "cpu" and features.shape[2] * features.shape[3] <= SMALL:
        return by_products(features, rows, size, scale)
    return plainly(features, rows, size, scale)


def plainly(features: Tensor, rows: Tensor, size: int, scale: float) -> Tensor:
    """The same by torchvision, on any device."""
    aligned: Tensor = roi_align(features, rows, (size, size), scale, 0, True)
    return aligned


def by_products(features: Tensor, rows: Tensor, size: int, scale: float) -> Tensor:
    """The same as two products of matrices for each image."""
    number, channels, high, wide = features.shape
    image = rows[:, 0].long()
    order = torch.argsort(image, stable=True)
    boxes = rows[order, 1:] * scale - 0.5
    counts = torch.bincount(image, minlength=number).tolist()
    across = torch.split(shares(boxes[:, 0], boxes[:, 2], size, wide), counts)
    down = torch.split(shares(boxes[:, 1], boxes[:, 3], size, high), counts)
    parts = []
    for picture, a, d in zip(features.permute(0, 3, 2, 1), across, down, strict=True):
        columns = (a.reshape(-1, wide) @ picture.reshape(wide, -1)).view(len(a), size, high, channels)
        parts.append(torch.matmul(d[:, None], columns))
    pooled = torch.cat(parts)[torch.argsort(order)]
    return pooled.permute(0, 3, 2, 1)


def shares(low: Tensor, high: Tensor, size: int, length: int) -> Tensor:
    """R x size x length: what each of `size` bins from `low` to `high` (R) takes from each of `length` pixels.

    A bin is looked at in as many places as it has pixels, rounded up; a place lies between two pixels, and one outside
    by more than a pixel takes nothing.
    """
    bin_size = (high - low) / size
    places = bin_size.ceil()
    number = torch.arange(max(int(places.max()), 0) if len(places) else 0, device=low.device)
    within = (number + 0.5) / places[:, None].clamp_min(1)
    bins = torch.arange(size, device=low.device)[:, None]
    at = low[:, None, None] + bin_size[:, None, None] * (bins + within[:, None])
    counted = (number < places[:, None])[:, None] & (at >= -1) & (at <= length)
    weight = counted / places[:, None, None].clamp_min(1)
    at = at.clamp(0, length - 1)
    below = at.floor()
    part = at - below
    taken = low.new_zeros(len(low), size, length)
    taken.scatter_add_(2, below.long(), weight * (1 - part))
    return taken.scatter_add_(2, (below.long() + 1).clamp_max(length - 1), weight * part)
