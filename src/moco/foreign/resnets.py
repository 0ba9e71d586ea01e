"""ResNets of any depth, width, group count and stem, by several libraries' names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from moco.backbones import refuse_unknown
from moco.errors import MocoError
from moco.foreign.architecture import Architecture
from moco.foreign.containers import Tensors
from moco.foreign.dialect import Dialect, renamed
from moco.recipe.parts import Stem


@dataclass(frozen=True)
class Plan:
    """The numbers that make a ResNet."""

    bottleneck: bool
    blocks: tuple[int, ...]
    width: int
    """Channels of the first convolution."""
    planes: int
    """Channels of the first stage, before expansion; 64 in all that are usual."""
    groups: int
    group_width: int
    channels: int
    kernel: int

    @property
    def name(self) -> str | None:
        """What `build_backbone` calls it."""
        grouped = (self.blocks, self.groups, self.group_width)
        if self.bottleneck and self.width == self.planes == 64 and grouped in _GROUPED:
            return _GROUPED[grouped]
        if self.bottleneck and self.width == self.planes == 64 and self.blocks == (3, 4, 6, 3) and self.groups > 1:
            return known(f"resnext50_{self.groups}x{self.group_width}d")
        depth = _DEPTHS.get((self.bottleneck, self.blocks))
        if depth is None or (self.groups, self.group_width) != (1, 64) or self.width != self.planes:
            return None
        return f"resnet{depth}" if self.width == 64 and depth != 10 else f"resnet{depth}w{self.width}"

    @property
    def about(self) -> str:
        """In a few words."""
        kind = "ResNet" if self.groups == 1 else f"ResNeXt of {self.groups} groups"
        return self.name or f"a {kind} of {'-'.join(map(str, self.blocks))} blocks, {self.width} channels wide"


def known(name: str) -> str | None:
    """The name, if `build_backbone` knows it."""
    try:
        refuse_unknown(name)
    except MocoError:
        return None
    return name


_DEPTHS: dict[tuple[bool, tuple[int, ...]], int] = {
    (False, (1, 1, 1, 1)): 10,
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}
_GROUPED: dict[tuple[tuple[int, ...], int, int], str] = {
    ((3, 4, 6, 3), 32, 4): "resnext50_32x4d",
    ((3, 4, 23, 3), 32, 8): "resnext101_32x8d",
    ((3, 4, 23, 3), 64, 4): "resnext101_64x4d",
    ((3, 4, 6, 3), 1, 128): "wide_resnet50_2",
    ((3, 4, 23, 3), 1, 128): "wide_resnet101_2",
}


class PlannedResNet(ResNet):  # type: ignore[misc]
    """torchvision's ResNet by a plan, without its classifier."""

    def __init__(self, plan: Plan, padding: int | None = None, stride: int | None = None) -> None:
        block = Bottleneck if plan.bottleneck else BasicBlock
        super().__init__(BasicBlock, [1, 1, 1, 1])
        self.groups, self.base_width, self.inplanes = plan.groups, plan.group_width, plan.width
        padding = plan.kernel // 2 if padding is None else padding
        stride = stride or (1 if plan.kernel == 3 else 2)
        self.conv1 = nn.Conv2d(plan.channels, plan.width, plan.kernel, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(plan.width)
        if plan.kernel == 3:
            self.maxpool = nn.Identity()
        for stage, blocks in enumerate(plan.blocks):
            made = self._make_layer(block, plan.planes << stage, blocks, stride=1 if stage == 0 else 2)
            setattr(self, f"layer{stage + 1}", made)
        self.fc = nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def read(tensors: Tensors) -> Architecture | None:
    """The ResNet that tensors by torchvision's names are of, if they can be of one."""
    plan = read_plan(tensors)
    if plan is None:
        return None
    stem: Stem = "small" if plan.kernel == 3 else "imagenet"
    return Architecture(plan.about, partial(PlannedResNet, plan), plan.name, stem, plan.channels)


def read_plan(tensors: Tensors) -> Plan | None:
    """The numbers, off the shapes; None where those of no ResNet lead to them.

    A stage of which nothing is there has one block: what is missing is then told by its names.
    """
    blocks = [0, 0, 0, 0]
    for name in tensors:
        if match := re.match(r"layer([1-4])\.(\d+)\.", name):
            stage, block = int(match[1]) - 1, int(match[2])
            blocks[stage] = max(blocks[stage], block + 1)
    stem, first = tensors.get("conv1.weight"), tensors.get("layer1.0.conv1.weight")
    if stem is None or first is None or stem.ndim != 4 or stem.shape[-1] not in (3, 7):
        return None
    blocks = [max(1, count) for count in blocks]
    width, channels, kernel = int(stem.shape[0]), int(stem.shape[1]), int(stem.shape[-1])
    third, second = tensors.get("layer1.0.conv3.weight"), tensors.get("layer1.0.conv2.weight")
    if third is None:
        return Plan(False, tuple(blocks), width, int(first.shape[0]), 1, 64, channels, kernel)
    inner, planes = int(first.shape[0]), int(third.shape[0]) // 4
    if second is None or second.ndim != 4 or planes == 0 or inner % max(1, int(second.shape[1])):
        return None
    groups = inner // int(second.shape[1])
    group_width = inner * 64 // (planes * groups)
    return Plan(True, tuple(blocks), width, planes, groups, group_width, channels, kernel)


def _children(tensors: Tensors) -> Tensors:
    """Names of a Sequential of a ResNet's children, cut before its classifier: 0, 1, 4 to 7; without a pool, from 2.

    What lies before the first stage is its beginning, however it is wrapped (OBoW: 0.Conv and 0.bn).
    """
    stages = sorted({int(m[1]) for name in tensors if (m := re.match(r"(\d+)\.0\.conv1\.weight$", name))})
    names = {str(n): f"layer{stage + 1}" for stage, n in enumerate(stages)}
    begins = [n for n in tensors if (first := n.partition(".")[0]).isdigit() and int(first) < min(stages, default=0)]
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in begins))
    convolutions = [name.rpartition(".")[0] for name in begins if tensors[name].ndim == 4]
    stem = {module: "conv1" if module in convolutions else "bn1" for module in modules}
    stem = stem if len(modules) == 2 and len(convolutions) == 1 else {}

    def ours(name: str) -> str:
        module, _, last = name.rpartition(".")
        if module in stem:
            return f"{stem[module]}.{last}"
        first, dot, rest = name.partition(".")
        return names.get(first, first) + dot + rest

    return _SHORTCUTS({ours(name): tensor for name, tensor in tensors.items()})


_SHORTCUTS = renamed(
    (r"^(layer\d\.\d+)\.shortcut\.", r"\1.downsample."),
    (r"\._mean$", ".running_mean"),  # Paddle's
    (r"\._variance$", ".running_var"),
)

_DETECTRON2 = renamed(
    (r"^stem\.", ""),
    (r"^res([2-5])\.", lambda m: f"layer{int(m[1]) - 1}."),  # type: ignore[arg-type]
    (r"conv([1-3])\.norm\.", r"bn\1."),
    (r"shortcut\.norm\.", "downsample.1."),
    (r"shortcut\.", "downsample.0."),
)

_HUGGING_FACE = renamed(
    (r"^embedder\.embedder\.convolution\.", "conv1."),
    (r"^embedder\.embedder\.normalization\.", "bn1."),
    (r"^encoder\.stages\.(\d)\.layers\.", lambda m: f"layer{int(m[1]) + 1}."),  # type: ignore[arg-type]
    (r"\.shortcut\.convolution\.", ".downsample.0."),
    (r"\.shortcut\.normalization\.", ".downsample.1."),
    (r"\.layer\.(\d)\.convolution\.", lambda m: f".conv{int(m[1]) + 1}."),  # type: ignore[arg-type]
    (r"\.layer\.(\d)\.normalization\.", lambda m: f".bn{int(m[1]) + 1}."),  # type: ignore[arg-type]
)

DIALECTS = [
    Dialect("torchvision", r"layer1\.0\.conv1\.weight", _SHORTCUTS, read),
    Dialect("a Sequential of children", r"[1-9]\.0\.conv1\.weight", _children, read),
    Dialect("detectron2", r"res2\.0\.conv1\.weight", _DETECTRON2, read),
    Dialect("Hugging Face", r"embedder\.embedder\.convolution\.weight", _HUGGING_FACE, read),
]
