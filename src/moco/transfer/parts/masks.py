"""The mask of each region (Mask R-CNN, arXiv:1703.06870): one picture for each class, of which the right one counts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import roi_align

from moco.transfer.parts.regions import Sampled
from moco.transfer.parts.values import Losses, Target


class Masks(nn.Module):
    """Features of regions (R x D x S x S) to masks (R x C x 2S x 2S): some 3x3 convolutions, then twice the size."""

    def __init__(self, channels: int, width: int, classes: int, convolutions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        self.deconv = nn.ConvTranspose2d(channels, width, 2, stride=2)
        self.predictor = nn.Conv2d(width, classes, 1)
        for one in self.modules():
            if isinstance(one, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")
                if one.bias is not None:
                    nn.init.zeros_(one.bias)
        nn.init.normal_(self.predictor.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, in fp32."""
        masks: Tensor = self.predictor(F.relu_(self.deconv(self.convolutions(x))))
        return masks.float()


def mask_losses(logits: Tensor, sampled: Sequence[Sampled], targets: Sequence[Target]) -> Losses:
    """Binary cross-entropy of the mask of the right class, over the pixels of all things."""
    labels = torch.cat([s.labels[: len(s.which)] for s in sampled])
    if not len(labels):
        return {"mask": (logits.sum() * 0.0, 0)}
    size = logits.shape[-1]
    wanted = torch.cat([_cut(s, t, size) for s, t in zip(sampled, targets, strict=True)])
    own = logits[torch.arange(len(labels), device=logits.device), labels]
    loss = F.binary_cross_entropy_with_logits(own, wanted, reduction="sum") / (size * size)
    return {"mask": (loss, len(labels))}


def _cut(sampled: Sampled, target: Target, size: int) -> Tensor:
    """P x S x S: what each region of a thing shows of the thing's mask, 0 or 1."""
    boxes = sampled.boxes[: len(sampled.which)]
    if not len(boxes):
        return boxes.new_zeros((0, size, size))
    assert target.masks is not None
    wide, high = target.stretch
    before = boxes / boxes.new_tensor([wide, high, wide, high])
    rows = torch.cat([sampled.which[:, None].to(before.dtype), before], dim=1)
    cut: Tensor = roi_align(target.masks[:, None].to(before.dtype), rows, (size, size), 1.0, -1, True)[:, 0]
    return (cut >= 0.5).to(before.dtype)


def likely(logits: Tensor, labels: Tensor) -> Tensor:
    """M x 1 x S x S: of each thing the mask of its class, as shares."""
    own = logits[torch.arange(len(labels), device=logits.device), labels]
    shares: Tensor = own[:, None].sigmoid()
    return shares


def pasted(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """M x H x W, uint8: the masks in their boxes in an image of this height and width."""
    if not len(masks):
        return torch.zeros((0, *size), dtype=torch.uint8)
    whole: Tensor = paste_masks_in_image(masks.cpu(), boxes.cpu(), size, padding=1)
    return (whole[:, 0] >= 0.5).to(torch.uint8)
