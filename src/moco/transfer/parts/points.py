"""The keypoints of each region (Mask R-CNN, section 5): for each point a picture in which one pixel is right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints, keypoints_to_heatmap

from moco.transfer.parts.regions import Sampled
from moco.transfer.parts.values import Losses, Target


class Points(nn.Module):
    """Features of regions (R x D x S x S) to a picture for each of K points (R x K x 4S x 4S)."""

    def __init__(self, channels: int, width: int, points: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(8):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        self.score_lowres = nn.ConvTranspose2d(channels, points, 4, stride=2, padding=1)
        for one in self.modules():
            if isinstance(one, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")
                if one.bias is not None:
                    nn.init.zeros_(one.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, in fp32."""
        small = self.score_lowres(self.convolutions(x)).float()
        return F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)


def with_points(sampled: Sampled, target: Target) -> Sampled:
    """Only the regions of things of which a point is annotated and lies inside."""
    boxes = sampled.boxes[: len(sampled.which)]
    assert target.points is not None
    points = target.points[sampled.which]
    inside = (
        (points[..., 2] > 0)
        & (points[..., 0] >= boxes[:, None, 0])
        & (points[..., 0] <= boxes[:, None, 2])
        & (points[..., 1] >= boxes[:, None, 1])
        & (points[..., 1] <= boxes[:, None, 3])
    )
    kept = inside.any(dim=1).nonzero()[:, 0]
    return Sampled(boxes[kept], sampled.labels[: len(sampled.which)][kept], sampled.which[kept])


def point_losses(logits: Tensor, sampled: Sequence[Sampled], targets: Sequence[Target]) -> Losses:
    """Cross-entropy over the pixels of each picture, over the points that are annotated and inside."""
    if not len(logits):
        return {"points": (logits.sum() * 0.0, 0)}
    size = logits.shape[-1]
    places, visible = [], []
    for one, target in zip(sampled, targets, strict=True):
        assert target.points is not None
        place, seen = keypoints_to_heatmap(target.points[one.which], one.boxes, size)
        places.append(place.flatten())
        visible.append(seen.flatten())
    counted = torch.cat(visible).nonzero()[:, 0]
    flat = logits.flatten(0, 1).flatten(1)[counted]
    if not len(counted):
        return {"points": (logits.sum() * 0.0, 0)}
    return {"points": (F.cross_entropy(flat, torch.cat(places)[counted].long(), reduction="sum"), len(counted))}


def likely_points(logits: Tensor, boxes: Tensor) -> Tensor:
    """M x K x 3: where each point is in the image, and its logit."""
    if not len(boxes):
        return logits.new_zeros((0, logits.shape[1], 3))
    places, scores = heatmaps_to_keypoints(logits, boxes)
    return torch.cat([places[..., :2], scores[..., None]], dim=2)
