"""The region proposal network (arXiv:1506.01497): where in an image there may be something."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes

from moco.transfer.parts.values import Canvas, Losses, Target, drawn
from moco.transfer.recipe import Regions

_SAMPLED, _OF_THINGS, _OVERLAP = 256, 0.5, 0.7


class Proposals(nn.Module):
    """Features of one level or several to boxes of each image, and what there is to learn from them."""

    def __init__(self, choice: Regions, channels: int) -> None:
        super().__init__()
        sizes = tuple((s,) for s in choice.anchors) if choice.network == "fpn" else (choice.anchors,)
        self.anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
        self.head = RPNHead(channels, self.anchors.num_anchors_per_location()[0])
        self.before, self.after = choice.before_nms, choice.after_nms
        self.coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)

    def forward(
        self, canvas: Canvas, features: Sequence[Tensor], targets: Sequence[Target] | None
    ) -> tuple[list[Tensor], Losses]:
        """The proposals of each image (R x 4, without gradient, the likeliest first), and with targets the losses."""
        scores, deltas = self.head(list(features))
        counts = [s[0].numel() for s in scores]
        flat = [s.permute(0, 2, 3, 1).flatten(1).float() for s in scores]
        moves = [_last(d, s.shape[1]).float() for d, s in zip(deltas, scores, strict=True)]
        anchors = self.anchors(ImageList(canvas.pixels, list(canvas.sizes)), list(features))
        objectness, moved = torch.cat(flat, 1), torch.cat(moves, 1)
        with torch.no_grad():
            found = [
                self._best(o, m, a, size, counts)
                for o, m, a, size in zip(objectness, moved, anchors, canvas.sizes, strict=True)
            ]
        if targets is None:
            return found, {}
        return found, self._losses(objectness, moved, anchors, targets)

    def _best(
        self, objectness: Tensor, moves: Tensor, anchors: Tensor, size: tuple[int, int], counts: list[int]
    ) -> Tensor:
        boxes, scores, levels = [], [], []
        parts = zip(*(torch.split(t, counts) for t in (objectness, moves, anchors)), strict=True)
        for level, (o, m, a) in enumerate(parts):
            best, which = o.topk(min(self.before[not self.training], len(o)))
            boxes.append(self.coder.decode_single(m[which], a[which]))
            scores.append(best)
            levels.append(torch.full_like(which, level))
        all_boxes, all_scores, all_levels = (torch.cat(parts) for parts in (boxes, scores, levels))
        all_boxes = clip_boxes_to_image(all_boxes, size)
        kept = remove_small_boxes(all_boxes, 1e-3)
        all_boxes, all_scores, all_levels = all_boxes[kept], all_scores[kept], all_levels[kept]
        kept = batched_nms(all_boxes, all_scores, all_levels, _OVERLAP)[: self.after[not self.training]]
        best_boxes: Tensor = all_boxes[kept]
        return best_boxes

    def _losses(
        self, objectness: Tensor, moves: Tensor, anchors: Sequence[Tensor], targets: Sequence[Target]
    ) -> Losses:
        """Of sampled anchors: is there a thing, and how far is its box (both over all that are sampled)."""
        there, off, count = objectness.new_zeros(()), objectness.new_zeros(()), 0
        for o, m, a, target in zip(objectness, moves, anchors, targets, strict=True):
            if len(target.boxes):
                match = self.matcher(box_iou(target.boxes, a))
            else:
                match = torch.full((len(a),), Matcher.BELOW_LOW_THRESHOLD, device=a.device)
            generator = torch.Generator().manual_seed(target.draw)
            things = drawn((match >= 0).nonzero()[:, 0], int(_SAMPLED * _OF_THINGS), generator)
            nothing = drawn((match == Matcher.BELOW_LOW_THRESHOLD).nonzero()[:, 0], _SAMPLED - len(things), generator)
            there = there + F.softplus(-o[things]).sum() + F.softplus(o[nothing]).sum()
            if len(things):
                wanted = self.coder.encode_single(target.boxes[match[things]], a[things])
                off = off + (m[things] - wanted).abs().sum()
            count += len(things) + len(nothing)
        return {"objectness": (there, count), "proposal boxes": (off + 0.0 * moves.sum(), count)}


def _last(deltas: Tensor, anchors: int) -> Tensor:
    """N x 4A x H x W to N x HWA x 4."""
    n, _, h, w = deltas.shape
    return deltas.view(n, anchors, 4, h, w).permute(0, 3, 4, 1, 2).reshape(n, -1, 4)
