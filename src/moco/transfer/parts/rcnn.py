"""Faster, Mask and Keypoint R-CNN on a ResNet: C4 with its extra BatchNorm, dilated C5, and a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import ResNet
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from moco.errors import MocoError
from moco.transfer.parts.masks import Masks, likely, mask_losses
from moco.transfer.parts.points import Points, likely_points, point_losses, with_points
from moco.transfer.parts.proposals import Proposals
from moco.transfer.parts.regions import Boxes, Sampled, best_boxes, box_losses, pool, sample
from moco.transfer.parts.stages import Stages, dilate_, widths
from moco.transfer.parts.values import Canvas, Found, Losses, Target
from moco.transfer.recipe import Regions


class RCNN(nn.Module):
    """Body, proposals and head: with targets the losses, without them what is found."""

    def __init__(self, choice: Regions, net: ResNet, classes: int, points: int) -> None:
        super().__init__()
        if choice.finds == "keypoints" and choice.network != "fpn":
            raise MocoError(f"--parts.network {choice.network}: keypoints are found with fpn")
        if choice.finds == "masks" and choice.network == "c5":
            raise MocoError("--parts.network c5: masks are found with c4 or fpn")
        self.choice, self.classes = choice, classes
        wide = widths(net)
        self.body: C4Body | C5Body | PyramidBody
        self.head: C4Head | FlatHead
        match choice.network:
            case "c4":
                self.body, channels = C4Body(net), wide[2]
                self.head = C4Head(net.layer4, wide[3], _of(choice.width, 256, net), classes, choice.finds == "masks")
            case "c5":
                channels = _of(None, 512, net)
                self.body = C5Body(net, wide[3], channels)
                self.head = FlatHead(choice, channels, _of(choice.hidden, 1024, net), classes, points)
            case "fpn":
                channels = _of(choice.width, 256, net)
                self.body = PyramidBody(net, wide, channels)
                self.head = FlatHead(choice, channels, _of(choice.hidden, 1024, net), classes, points)
        self.proposals = Proposals(choice, channels)

    def losses(self, canvas: Canvas, targets: Sequence[Target]) -> Losses:
        """Sums of losses, each with the number it is a sum of."""
        features = self.body(canvas.pixels)
        proposals, losses = cast("tuple[list[Tensor], Losses]", self.proposals(canvas, features, targets))
        pairs = zip(proposals, targets, strict=True)
        sampled = [sample(p, t, self.classes, self.choice.rois) for p, t in pairs]
        seen = self.body.for_regions(features)
        of_regions: Losses = self.head.losses(canvas, seen, sampled, targets, self.choice)
        return {**losses, **of_regions}

    def find(self, canvas: Canvas) -> list[Found]:
        """What is found in each image, in pixels of the canvas."""
        features = self.body(canvas.pixels)
        proposals, _ = self.proposals(canvas, features, None)
        return self.head.find(canvas, self.body.for_regions(features), proposals, self.choice)


class C4Body(nn.Module):
    """Stages up to the fourth: one level of stride 16."""

    def __init__(self, net: ResNet) -> None:
        super().__init__()
        self.stages = Stages(net, 4)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images to levels."""
        return [self.stages(x)[-1]]

    def for_regions(self, levels: list[Tensor]) -> list[Tensor]:
        """The levels that regions look at."""
        return levels


class C5Body(C4Body):
    """All stages, the fifth dilated, and a 3x3 convolution with BatchNorm to 512 channels (v1, A.1)."""

    def __init__(self, net: ResNet, width: int, channels: int) -> None:
        super().__init__(net)
        dilate_(net.layer4)
        self.stages = Stages(net, 5)
        self.reduce = nn.Conv2d(width, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.kaiming_normal_(self.reduce.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images to levels."""
        return [F.relu(self.norm(self.reduce(self.stages(x)[-1])))]


class PyramidBody(nn.Module):
    """All stages and a feature pyramid with BatchNorm (arXiv:1612.03144); a fifth level for the proposals alone."""

    def __init__(self, net: ResNet, wide: list[int], channels: int) -> None:
        super().__init__()
        self.stages = Stages(net, 5)
        self.fpn = FeaturePyramidNetwork(wide, channels, LastLevelMaxPool(), norm_layer=nn.BatchNorm2d)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images to levels."""
        return list(self.fpn({str(i): level for i, level in enumerate(self.stages(x))}).values())

    def for_regions(self, levels: list[Tensor]) -> list[Tensor]:
        """The levels that regions look at."""
        return levels[:4]


class C4Head(nn.Module):
    """Stage 5 and an extra BatchNorm on the features of each region (v1, section 4.2; `Res5ROIHeadsExtraNorm`)."""

    def __init__(self, stage5: nn.Module, width: int, mask_width: int, classes: int, masks: bool) -> None:
        super().__init__()
        self.res5 = stage5
        self.norm = nn.BatchNorm2d(width)
        self.boxes = Boxes(width, classes)
        self.masks = Masks(width, mask_width, classes, 0) if masks else None

    def _features(self, canvas: Canvas, levels: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        return cast(Tensor, self.norm(self.res5(pool(levels, boxes, canvas.pixels, 14))))

    def losses(
        self,
        canvas: Canvas,
        levels: Sequence[Tensor],
        sampled: Sequence[Sampled],
        targets: Sequence[Target],
        choice: Regions,
    ) -> Losses:
        """Of classes and boxes, and of masks where they are found: those share the features of boxes."""
        x = self._features(canvas, levels, [s.boxes for s in sampled])
        scores, moves = self.boxes(x.mean((2, 3)))
        losses = box_losses(scores, moves, sampled, targets, choice.beta)
        if self.masks is not None:
            first = [torch.arange(len(s.boxes), device=x.device) < len(s.which) for s in sampled]
            losses |= mask_losses(self.masks(x[torch.cat(first)]), sampled, targets)
        return losses

    def find(
        self, canvas: Canvas, levels: Sequence[Tensor], proposals: Sequence[Tensor], choice: Regions
    ) -> list[Found]:
        """What is found in each image."""
        scores, moves = self.boxes(self._features(canvas, levels, proposals).mean((2, 3)))
        found = _best(scores, moves, proposals, canvas, choice)
        if self.masks is None:
            return found
        boxes = [f.boxes for f in found]
        logits = torch.split(self.masks(self._features(canvas, levels, boxes)), [len(b) for b in boxes])
        return [Found(f.boxes, f.scores, f.labels, likely(m, f.labels)) for f, m in zip(found, logits, strict=True)]


class FlatHead(nn.Module):
    """Two fully connected layers on 7 x 7 features; masks and keypoints from 14 x 14 features."""

    def __init__(self, choice: Regions, channels: int, hidden: int, classes: int, points: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels * 49, hidden), nn.Linear(hidden, hidden)
        for one in (self.fc1, self.fc2):
            nn.init.kaiming_uniform_(one.weight, a=1)
            nn.init.zeros_(one.bias)
        self.boxes = Boxes(hidden, classes)
        self.masks = Masks(channels, channels, classes, 4) if choice.finds == "masks" else None
        self.points = Points(channels, 2 * channels, points) if choice.finds == "keypoints" else None

    def _boxes(self, canvas: Canvas, levels: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        x = pool(levels, boxes, canvas.pixels, 7).flatten(1)
        return cast("tuple[Tensor, Tensor]", self.boxes(F.relu_(self.fc2(F.relu_(self.fc1(x))))))

    def losses(
        self,
        canvas: Canvas,
        levels: Sequence[Tensor],
        sampled: Sequence[Sampled],
        targets: Sequence[Target],
        choice: Regions,
    ) -> Losses:
        """Of classes and boxes, and of masks or keypoints where they are found."""
        scores, moves = self._boxes(canvas, levels, [s.boxes for s in sampled])
        losses = box_losses(scores, moves, sampled, targets, choice.beta)
        if self.masks is not None:
            things = [s.boxes[: len(s.which)] for s in sampled]
            losses |= mask_losses(self.masks(pool(levels, things, canvas.pixels, 14)), sampled, targets)
        if self.points is not None:
            posed = [with_points(s, t) for s, t in zip(sampled, targets, strict=True)]
            features = pool(levels, [s.boxes for s in posed], canvas.pixels, 14)
            losses |= point_losses(self.points(features), posed, targets)
        return losses

    def find(
        self, canvas: Canvas, levels: Sequence[Tensor], proposals: Sequence[Tensor], choice: Regions
    ) -> list[Found]:
        """What is found in each image."""
        found = _best(*self._boxes(canvas, levels, proposals), proposals, canvas, choice)
        boxes = [f.boxes for f in found]
        counts = [len(b) for b in boxes]
        if self.masks is not None:
            logits = torch.split(self.masks(pool(levels, boxes, canvas.pixels, 14)), counts)
            return [Found(f.boxes, f.scores, f.labels, likely(m, f.labels)) for f, m in zip(found, logits, strict=True)]
        if self.points is not None:
            logits = torch.split(self.points(pool(levels, boxes, canvas.pixels, 14)), counts)
            return [
                Found(f.boxes, f.scores, f.labels, None, likely_points(m, f.boxes))
                for f, m in zip(found, logits, strict=True)
            ]
        return found


def _best(scores: Tensor, moves: Tensor, proposals: Sequence[Tensor], canvas: Canvas, choice: Regions) -> list[Found]:
    counts = [len(p) for p in proposals]
    parts = zip(torch.split(scores, counts), torch.split(moves, counts), proposals, canvas.sizes, strict=True)
    return [Found(*best_boxes(s, m, p, size, choice)) for s, m, p, size in parts]


def _of(set_by_hand: int | None, usual: int, net: ResNet) -> int:
    """A width as it was set, or in proportion to the ResNet's, whose usual first stage has 64 channels."""
    return set_by_hand or max(16, usual * int(net.conv1.out_channels) // 64)
