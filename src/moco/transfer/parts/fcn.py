"""FCN-16s as in v1, A.5: a class for each pixel, from stage 5 with dilation instead of stride."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import ResNet

from moco.transfer.layouts.annotated import VOID
from moco.transfer.parts.stages import Stages, dilate_, widths
from moco.transfer.parts.values import Losses
from moco.transfer.recipe import FCN


class FullyConvolutional(nn.Module):
    """Images N x 3 x H x W to class scores N x C x H x W."""

    def __init__(self, choice: FCN, net: ResNet, classes: int) -> None:
        super().__init__()
        dilate_(net.layer4)
        self.stages = Stages(net, 5)
        width = choice.width or max(16, 256 * int(net.conv1.out_channels) // 64)
        layers: list[nn.Module] = []
        channels = widths(net)[3]
        for _ in range(2):
            layers += [
                nn.Conv2d(channels, width, 3, padding=choice.dilation, dilation=choice.dilation, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.head = nn.Sequential(*layers, nn.Conv2d(width, classes, 1))
        for one in self.head:
            if isinstance(one, nn.Conv2d):
                nn.init.normal_(one.weight, std=0.01) if one.bias is not None else nn.init.kaiming_normal_(
                    one.weight, mode="fan_out", nonlinearity="relu"
                )
                if one.bias is not None:
                    nn.init.zeros_(one.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, in fp32."""
        small = self.head(self.stages(x)[-1]).float()
        return F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False)

    def losses(self, pixels: Tensor, labels: Tensor) -> Losses:
        """Cross-entropy over all pixels that are not void; labels are N x H x W."""
        loss = F.cross_entropy(self(pixels), labels, ignore_index=VOID, reduction="sum")
        return {"class": (loss, int((labels != VOID).sum()))}
