"""What goes into a detector and what comes out: images on one canvas, things to find, things found, sums of losses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

Losses = dict[str, tuple[Tensor, int]]
"""name: (sum, how many it is a sum of); a mean over images on several processes divides the one by the other."""


@dataclass(frozen=True)
class Canvas:
    """Images of several sizes as one tensor."""

    pixels: Tensor
    """N x 3 x H x W, normalised, and 0 right of and below each image."""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of each."""


@dataclass(frozen=True)
class Target:
    """The L things of one image, in pixels of the canvas."""

    boxes: Tensor
    """L x 4: left, top, right, bottom."""
    labels: Tensor
    """L, int64."""
    masks: Tensor | None = None
    """uint8, L x h x w, at the size the image had before it was resized."""
    stretch: tuple[float, float] = (1.0, 1.0)
    """How many times wider and higher the image became."""
    points: Tensor | None = None
    """L x K x 3: x, y, visibility."""
    draw: int = 0
    """From what random samples of this image are drawn."""

    def to(self, device: torch.device) -> Target:
        """The same on a device."""
        return replace(
            self,
            boxes=self.boxes.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            masks=None if self.masks is None else self.masks.to(device, non_blocking=True),
            points=None if self.points is None else self.points.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class Found:
    """M things found in one image, the likeliest first, in pixels of that image as it came."""

    boxes: Tensor
    """M x 4."""
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None
    """M x 1 x S x S: of each box the share of its cells' pixels that belong to the thing."""
    points: Tensor | None = None
    """M x K x 3: x, y and a score (a logit)."""


def drawn(candidates: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Up to `most` of the candidates; which is a function of their number and the generator, on any device."""
    if len(candidates) <= most:
        return candidates
    kept = torch.randperm(len(candidates), generator=generator)[:most]
    return candidates[kept.to(candidates.device)]
