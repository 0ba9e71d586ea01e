"""The stages of a ResNet of any depth and width, taken from an encoder: what detection and segmentation build on."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from moco.errors import MocoError


class Stages(nn.Module):
    """The stem and stages 2 to `last` of a ResNet; images to the features of each stage, finest first."""

    def __init__(self, net: ResNet, last: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool = net.conv1, net.bn1, net.relu, net.maxpool
        self._names = [f"layer{stage - 1}" for stage in range(2, last + 1)]
        for name in self._names:
            self.add_module(name, getattr(net, name))

    def forward(self, x: Tensor) -> list[Tensor]:
        """N x 3 x H x W to one N x C x h x w for each stage."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        features = []
        for name in self._names:
            x = getattr(self, name)(x)
            features.append(x)
        return features


def resnet_in(backbone: nn.Module) -> ResNet:
    """The backbone as a ResNet; raises MocoError where it is none, or of another kind than `resnetDwW`."""
    if not isinstance(backbone, ResNet):
        raise MocoError(
            f"fine-tuning for detection and segmentation takes ResNets; this encoder is a {type(backbone).__name__}"
        )
    name_of(backbone)
    return backbone


def name_of(net: ResNet) -> tuple[str, str]:
    """(`resnetDwW`, stem) by which `build_backbone` makes this ResNet again; raises MocoError where it cannot."""
    from moco.backbones import build_backbone

    blocks = [len(getattr(net, f"layer{i}")) for i in range(1, 5)]
    simple = isinstance(net.layer1[0], BasicBlock)
    depth = sum(blocks) * (2 if simple else 3) + 2
    name = f"resnet{depth}w{net.conv1.out_channels}"
    stem = "imagenet"
    if net.conv1.kernel_size == (3, 3):
        stem = "half" if net.conv1.stride == (2, 2) else "small"
    try:
        made = build_backbone(name, stem, net.conv1.in_channels)[0].state_dict()  # type: ignore[arg-type]
    except MocoError:
        made = {}
    own = {k: v.shape for k, v in net.state_dict().items()}
    if own != {k: v.shape for k, v in made.items()}:
        raise MocoError(f"this ResNet is of another kind than {name}; its stages cannot be built again")
    return name, stem


def widths(net: ResNet) -> list[int]:
    """Channels of stages 2 to 5."""
    found = []
    for stage in range(1, 5):
        block = getattr(net, f"layer{stage}")[-1]
        found.append(int((block.conv2 if isinstance(block, BasicBlock) else block.conv3).out_channels))
    return found


def dilate_(stage: nn.Module, dilation: int = 2) -> None:
    """Stage 5 without its stride: every 3x3 convolution dilated, in the first block too (v1, A.1 and A.5)."""
    for one in stage.modules():
        if isinstance(one, nn.Conv2d):
            one.stride = (1, 1)
            if one.kernel_size == (3, 3):
                one.dilation, one.padding = (dilation, dilation), (dilation, dilation)
