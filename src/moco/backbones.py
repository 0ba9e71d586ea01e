"""Backbones by name: torchvision's models, timm's, and ResNets of any width; each maps images to N x D features."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from moco.errors import MocoError
from moco.recipe.parts import Stem
from moco.recipe.vit import vit_name
from moco.vit import ViT

_DEPTHS: dict[str, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    "10": (BasicBlock, [1, 1, 1, 1]),
    "18": (BasicBlock, [2, 2, 2, 2]),
    "34": (BasicBlock, [3, 4, 6, 3]),
    "50": (Bottleneck, [3, 4, 6, 3]),
    "101": (Bottleneck, [3, 4, 23, 3]),
    "152": (Bottleneck, [3, 8, 36, 3]),
}

_WIDE = r"resnet(\d+)w(\d+)(x?)"
_NEXT = r"resnext50_([1-9]\d*)x([1-9]\d*)d"

NARROWEST = 8
"""Channels of the first stage; narrower ResNets have not been tried."""

VECTOR = 16
"""Numbers of single precision in the widest register of a processor (AVX-512)."""


def refuse_unknown(name: str) -> None:
    """Raise MocoError for a name that `build_backbone` does not know; makes nothing."""
    if vit_name(name) is not None:
        return
    if name.startswith("timm:"):
        _refuse_unknown_to_timm(name.removeprefix("timm:"))
    elif match := re.fullmatch(_WIDE, name):
        if match[1] not in _DEPTHS or _channels(match) < NARROWEST:
            depths = ", ".join(_DEPTHS)
            raise MocoError(f"--encoder.backbone {name}: depths are {depths}, widths {NARROWEST} or more (64 is usual)")
    elif not re.fullmatch(_NEXT, name) and name not in models.list_models(module=models):
        raise MocoError(
            f"--encoder.backbone {name}: torchvision has no such model; take one of it (resnet18, resnet50, "
            "convnext_tiny, vit_b_16, ...), timm:NAME, resnetDwW such as resnet18w16, resnext50_GxWd, or vitDwWpP"
        )


def build_backbone(name: str, stem: Stem = "imagenet", channels: int = 3) -> tuple[nn.Module, int]:
    """The backbone called `name`, untrained, with its classifier removed, and D, the length of its features.

    `name` is a model of torchvision (`resnet50`), `timm:NAME`, or `resnetDwW`, a ResNet of depth D whose first stage is
    W channels wide and every later one in proportion (`resnet50w128` is the papers' R50w2x, and `resnet50w2x` too), or
    `resnext50_GxWd` with G groups of W channels (`resnext50_32x8d` is RX50-32x8d), or `vitDwWpP`, a ViT of D blocks, W
    wide, with patches of P px. A ResNet's `stem` is a 3x3 first convolution of stride 1 (`small`) or 2 (`half`) and no
    max-pooling, or torchvision's. The first convolution takes
    `channels`. Raises MocoError for a name that is none of these.
    """
    backbone = make_backbone(name, stem, channels)
    return backbone, _width(backbone, name)


def make_backbone(name: str, stem: Stem = "imagenet", channels: int = 3) -> nn.Module:
    """The same without D, which takes a forward pass; so it is made in shapes alone where no weights are wanted."""
    refuse_unknown(name)
    if (vit := vit_name(name)) is not None:
        if stem != "imagenet":
            raise MocoError(f"--encoder.stem {stem} is for ResNets; {name} takes --encoder.stem imagenet")
        return ViT(vit, channels)
    if name.startswith("timm:"):
        backbone = _timm(name.removeprefix("timm:"), channels)
    elif match := re.fullmatch(_WIDE, name):
        backbone = _resnet_of_width(match[1], _channels(match))
    elif match := re.fullmatch(_NEXT, name):
        backbone = ResNet(Bottleneck, _DEPTHS["50"][1], groups=int(match[1]), width_per_group=int(match[2]))
        backbone.set_submodule("fc", nn.Identity())
    else:
        backbone = _torchvision(name)
    if channels != 3 and not name.startswith("timm:"):
        _take_channels_(backbone, channels, name)
    if stem != "imagenet":
        _shrink_stem_(backbone, name, stem)
    return backbone


class _WideResNet(ResNet):  # type: ignore[misc]
    """torchvision's ResNet with every layer's channels multiplied (v1, table 1: R50w2x, R50w4x)."""

    def __init__(self, block: type[BasicBlock | Bottleneck], layers: list[int], width: int) -> None:
        super().__init__(block, layers)
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        for stage, blocks in enumerate(layers):
            made = self._make_layer(block, width << stage, blocks, stride=1 if stage == 0 else 2)
            setattr(self, f"layer{stage + 1}", made)
        self.fc = nn.Linear((width << 3) * block.expansion, 1000)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for name, module in [*self.named_modules()]:
            if isinstance(module, nn.Conv2d) and _overruns(module):
                self.set_submodule(name, _Thinned(module))


def _overruns(conv: nn.Conv2d) -> bool:
    """Whether the backward pass may write past its memory: 1x1, with a stride, of fewer channels than a register holds.

    oneDNN's kernels do in channels_last (torch 2.14): with AVX2 from 7 channels down, with AVX-512 from 15 down, if the
    image is large enough; a run dies, or computes on with what it has spoilt.
    """
    return conv.kernel_size == (1, 1) and conv.stride != (1, 1) and conv.in_channels < VECTOR


class _Thinned(nn.Conv2d):
    """A 1x1 convolution with a stride that first takes the pixels it looks at: the same values, in other kernels."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv.in_channels, conv.out_channels, 1, conv.stride, bias=False, device="meta")  # type: ignore[arg-type]
        self.weight = conv.weight

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x D x H/s x W/s."""
        down, across = self.stride
        return F.conv2d(x[:, :, ::down, ::across], self.weight)


def _channels(match: re.Match[str]) -> int:
    """Of the first stage: 16 of resnet18w16, 128 of resnet50w2x."""
    return int(match[2]) * (64 if match[3] else 1)


def _resnet_of_width(depth: str, width: int) -> nn.Module:
    net = _WideResNet(*_DEPTHS[depth], width=width)
    net.set_submodule("fc", nn.Identity())
    return net


def _torchvision(name: str) -> nn.Module:
    extra = {"init_weights": True, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    net: nn.Module = models.get_model(name, weights=None, **extra)
    place = classifier_name(net)
    if place is None:
        raise MocoError(f"--encoder.backbone {name}: it has no linear classifier to take off; choose another model")
    net.set_submodule(place, nn.Identity())
    return net


def classifier_name(net: nn.Module) -> str | None:
    """Where a model of torchvision keeps the linear layer of its 1000 classes; None where it has none."""
    found = [name for name, m in net.named_modules() if isinstance(m, nn.Linear) and m.out_features == 1000]
    return found[-1] if found else None


def _refuse_unknown_to_timm(name: str) -> None:
    try:
        import timm
    except ImportError:
        raise MocoError(f"--encoder.backbone timm:{name} needs timm: pip install 'momentum-contrast[timm]'") from None
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:6])
        raise MocoError(
            f"--encoder.backbone timm:{name}: timm has no such model" + (f"; it has {close}" if close else "")
        )


def _timm(name: str, channels: int) -> nn.Module:
    import timm

    more = {} if channels == 3 else {"in_chans": channels}
    net: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **more)
    return net


def _take_channels_(net: nn.Module, channels: int, name: str) -> None:
    """Another first convolution, drawn so that what comes out of it varies as much as it does with three channels."""
    first = next((n for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3), None)
    if first is None:
        raise MocoError(f"--encoder.backbone {name}: it has no first convolution that could take {channels} channels")
    old = net.get_submodule(first)
    assert isinstance(old, nn.Conv2d)
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    with torch.no_grad():
        new.weight.normal_(std=float(old.weight.std()) * (3 / channels) ** 0.5)
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    net.set_submodule(first, new)


def _shrink_stem_(net: nn.Module, name: str, stem: Stem) -> None:
    """The CIFAR stem of the official demo; its new convolution keeps PyTorch's default initialisation, as there."""
    if not isinstance(net, ResNet):
        raise MocoError(f"--encoder.stem {stem} is for ResNets; {name} takes --encoder.stem imagenet")
    stride = 2 if stem == "half" else 1
    first = net.conv1
    net.conv1 = nn.Conv2d(first.in_channels, first.out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
    net.maxpool = nn.Identity()


def refuse_size(net: nn.Module, name: str, size: int, flag: str = "--image-size") -> None:
    """Raise MocoError, which names the flag, unless images of this side go through: many transformers take one size."""
    made_for = _made_for(net)
    if isinstance(net, ResNet) or made_for == size:
        return
    try:
        _features(net, size)
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or ["it fails"])[0][:200]
        raise MocoError(
            f"{flag} {size}: {name} does not take images of {size} px ({reason}); it is made for {made_for}"
        ) from None


def _made_for(net: nn.Module) -> int:
    """The side of images that a model was made for."""
    side = getattr(net, "image_size", None) or getattr(getattr(net, "patch_embed", None), "img_size", None) or 224
    return int(side[0] if isinstance(side, tuple) else side)


def _features(net: nn.Module, side: int) -> Tensor:
    """Of one gray image, in eval mode."""
    was_training = net.training
    net.eval()
    try:
        with torch.no_grad():
            features: Tensor = net(torch.zeros(1, _taken(net), side, side))
    finally:
        net.train(was_training)
    return features


def _taken(net: nn.Module) -> int:
    """Channels of the images that a model takes: those of its first convolution."""
    first = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None)
    return 3 if first is None else first.in_channels


def _width(net: nn.Module, name: str) -> int:
    """D, found by a forward pass of one gray image at the size the model was made for."""
    features = _features(net, _made_for(net))
    if features.ndim != 2:
        raise MocoError(f"--encoder.backbone {name}: its features are {tuple(features.shape)}, not one vector an image")
    return int(features.shape[1])
