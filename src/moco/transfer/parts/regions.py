"""Regions of interest: their features, their class and box, and what is found when the overlapping ones are gone.

As in Detectron2, the last class is "nothing", and each class has a box of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image

from moco.transfer.parts.align import align
from moco.transfer.parts.values import Losses, Target, drawn
from moco.transfer.recipe import Regions

_OF_THINGS, _OVERLAP = 0.25, 0.5


@dataclass(frozen=True)
class Sampled:
    """The regions of one image that a head learns from."""

    boxes: Tensor
    """R x 4; those of things come first."""
    labels: Tensor
    """R; the number of classes where there is nothing."""
    which: Tensor
    """Of the first P: the thing in the target."""


class Boxes(nn.Module):
    """Features of regions (R x D) to class scores (R x (C + 1)) and boxes (R x 4C)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(width, classes + 1)
        self.bbox_pred = nn.Linear(width, 4 * classes)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)
        nn.init.zeros_(self.cls_score.bias)
        nn.init.zeros_(self.bbox_pred.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(scores, boxes), in fp32."""
        return self.cls_score(x).float(), self.bbox_pred(x).float()


_CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))
_MATCHER = Matcher(0.5, 0.5, allow_low_quality_matches=False)


def sample(proposals: Tensor, target: Target, classes: int, rois: int) -> Sampled:
    """Proposals and the true boxes, of which a quarter at most are of things, as many as `rois` in all."""
    boxes = torch.cat([target.boxes, proposals])
    if len(target.boxes):
        match = _MATCHER(box_iou(target.boxes, boxes))
    else:
        match = torch.full((len(boxes),), Matcher.BELOW_LOW_THRESHOLD, device=boxes.device)
    generator = torch.Generator().manual_seed(target.draw + 1)
    things = drawn((match >= 0).nonzero()[:, 0], int(rois * _OF_THINGS), generator)
    nothing = drawn((match < 0).nonzero()[:, 0], rois - len(things), generator)
    which = match[things]
    labels = torch.cat([target.labels[which], torch.full_like(nothing, classes)])
    return Sampled(boxes[torch.cat([things, nothing])], labels, which)


def box_losses(
    scores: Tensor, moves: Tensor, sampled: Sequence[Sampled], targets: Sequence[Target], beta: float
) -> Losses:
    """Cross-entropy of the class, and smooth L1 of the boxes of things, both over all regions."""
    labels = torch.cat([s.labels for s in sampled])
    wanted = torch.cat([t.boxes[s.which] for s, t in zip(sampled, targets, strict=True)])
    of_things = torch.cat([s.boxes[: len(s.which)] for s in sampled])
    rows = (labels < scores.shape[1] - 1).nonzero()[:, 0]
    off = moves.sum() * 0.0
    if len(rows):
        own = moves.view(len(moves), -1, 4)[rows, labels[rows]]
        off = off + smooth_l1(own, _CODER.encode_single(wanted, of_things), beta)
    return {
        "class": (F.cross_entropy(scores, labels, reduction="sum"), len(labels)),
        "box": (off, len(labels)),
    }


def smooth_l1(x: Tensor, y: Tensor, beta: float) -> Tensor:
    """The sum of |x - y|, quadratic below `beta`."""
    if beta == 0:
        return (x - y).abs().sum()
    return F.smooth_l1_loss(x, y, reduction="sum", beta=beta)


def best_boxes(
    scores: Tensor, moves: Tensor, proposals: Tensor, size: tuple[int, int], choice: Regions
) -> tuple[Tensor, Tensor, Tensor]:
    """(boxes M x 4, scores M, labels M) of what is found in one image, overlapping ones of a class removed."""
    shares = scores.softmax(dim=1)[:, :-1]
    classes = shares.shape[1]
    boxes = _CODER.decode_single(moves.reshape(-1, 4), proposals.repeat_interleave(classes, 0))
    boxes = clip_boxes_to_image(boxes, size).view(-1, classes, 4)
    rows, labels = (shares > choice.least_score).nonzero(as_tuple=True)
    boxes, best = boxes[rows, labels], shares[rows, labels]
    wide = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero()[:, 0]
    boxes, best, labels = boxes[wide], best[wide], labels[wide]
    kept = batched_nms(boxes, best, labels, _OVERLAP)[: choice.most_found]
    return boxes[kept], best[kept], labels[kept]


def pool(features: Sequence[Tensor], boxes: Sequence[Tensor], canvas: Tensor, size: int) -> Tensor:
    """RoIAlign (arXiv:1703.06870), size x size, of all images' boxes in order.

    With several levels, a box of 224 x 224 px looks at the third, one of half the side at the second
    (arXiv:1612.03144, equation 1).
    """
    scales = [2.0 ** round(math.log2(f.shape[-1] / canvas.shape[-1])) for f in features]
    index = torch.cat([torch.full_like(b[:, :1], i) for i, b in enumerate(boxes)])
    rows = torch.cat([index, torch.cat(list(boxes))], dim=1)
    if len(features) == 1:
        return align(features[0], rows, size, scales[0])
    sides = ((rows[:, 3] - rows[:, 1]).clamp_min(0) * (rows[:, 4] - rows[:, 2]).clamp_min(0)).sqrt()
    level = torch.floor(2 + torch.log2(sides / 224 + 1e-8)).clamp(0, len(features) - 1)
    parts, order = [], []
    for i, (feature, scale) in enumerate(zip(features, scales, strict=True)):
        here = (level == i).nonzero()[:, 0]
        parts.append(align(feature, rows[here], size, scale))
        order.append(here)
    pooled = torch.cat(parts)
    return pooled[torch.argsort(torch.cat(order))]
