"""What a backbone is, in the words that other libraries share: a ResNet by its numbers, or a model's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from moco.recipe.vit import VitName, vit_name
from moco.run.load import Opened


@dataclass(frozen=True)
class Stem:
    """How a ResNet begins: a convolution of `bands` channels with BatchNorm and ReLU, then max-pooling or not."""

    bands: int = 3
    kernel: int = 7
    stride: int = 2
    pooled: bool = True

    @property
    def words(self) -> str:
        """For sentences."""
        pooling = "max-pooling" if self.pooled else "no max-pooling"
        return f"{self.kernel}x{self.kernel} first convolution of stride {self.stride} with {pooling}"


IMAGENET = Stem()
"""The stem of the ResNet paper, which every library builds by itself."""


@dataclass(frozen=True)
class ResNet:
    """A ResNet: stage s (0 to 3) of `depths[s]` blocks has `width` * 2^s channels, four times that if bottlenecks."""

    block: Literal["basic", "bottleneck"]
    depths: tuple[int, int, int, int]
    width: int = 64
    groups: int = 1
    group_width: int = 64
    """Channels of a group in the first stage at width 64 (torchvision's `width_per_group`)."""
    stem: Stem = IMAGENET

    @property
    def layers(self) -> int:
        """50 of a ResNet-50."""
        return 2 + (2 if self.block == "basic" else 3) * sum(self.depths)

    @property
    def standard(self) -> str | None:
        """Its name in torchvision, in timm and in the official code, the stem aside; None where it has none there."""
        return _STANDARD.get((self.block, self.depths, self.groups, self.group_width)) if self.width == 64 else None

    @property
    def words(self) -> str:
        """For sentences: `a ResNet-10 of width 16`."""
        grouped = "" if self.groups == 1 else f" of {self.groups} groups"
        wide = "" if (self.groups, self.group_width) in ((1, 64), (self.groups, 4)) else f" {self.group_width} wide"
        return f"a ResNet-{self.layers}{'' if self.width == 64 else f' of width {self.width}'}{grouped}{wide}"


@dataclass(frozen=True)
class Model:
    """A model of torchvision or timm by name."""

    library: Literal["torchvision", "timm"]
    name: str
    options: tuple[tuple[str, Any], ...] = ()
    """What timm's `create_model` is told beyond the name."""

    @property
    def words(self) -> str:
        """For sentences: `timm's vit_tiny_patch16_224`."""
        return f"{self.library}'s {self.name}"


@dataclass(frozen=True)
class Unnamed:
    """A network that no library builds by a name."""

    words: str = "a network that has no name in torchvision or timm"


Buildable = ResNet | Model
"""What a line of Python builds."""

Architecture = Buildable | Unnamed

_STANDARD = {
    ("basic", (2, 2, 2, 2), 1, 64): "resnet18",
    ("basic", (3, 4, 6, 3), 1, 64): "resnet34",
    ("bottleneck", (3, 4, 6, 3), 1, 64): "resnet50",
    ("bottleneck", (3, 4, 23, 3), 1, 64): "resnet101",
    ("bottleneck", (3, 8, 36, 3), 1, 64): "resnet152",
    ("bottleneck", (3, 4, 6, 3), 32, 4): "resnext50_32x4d",
    ("bottleneck", (3, 4, 23, 3), 32, 8): "resnext101_32x8d",
    ("bottleneck", (3, 4, 23, 3), 64, 4): "resnext101_64x4d",
    ("bottleneck", (3, 4, 6, 3), 1, 128): "wide_resnet50_2",
    ("bottleneck", (3, 4, 23, 3), 1, 128): "wide_resnet101_2",
}


def architecture(opened: Opened) -> Architecture:
    """The architecture of an encoder, read off its modules where they are a ResNet, else the name it was built by."""
    name = opened.name.removeprefix("timm:")
    plain = not opened.name.startswith("timm:") or name in _STANDARD.values()  # timm has many that only look alike
    found = _resnet(opened.backbone) if plain else None
    if found is not None:
        return found
    if (vit := vit_name(opened.name)) is not None:
        return Model("timm", "vit_small_patch16_224", _vit_options(vit, opened.preprocess.channels))
    if opened.name.startswith("timm:"):
        bands = (("in_chans", opened.preprocess.channels),) if opened.preprocess.channels != 3 else ()
        return Model("timm", name, _timm_options(opened.backbone, name) + bands)
    if opened.preprocess.channels != 3:
        return Unnamed(f"torchvision's {name} with a first convolution of {opened.preprocess.channels} channels")
    return Model("torchvision", name) if name else Unnamed()


def _resnet(net: nn.Module) -> ResNet | None:
    """The numbers of a ResNet under torchvision's names (timm's has them too); None where `net` is anything else."""
    try:
        first = net.get_submodule("layer1.0")
        stem, second = net.get_submodule("conv1"), first.get_submodule("conv2")
        depths = tuple(len(list(net.get_submodule(f"layer{n}").children())) for n in (1, 2, 3, 4))
    except AttributeError:
        return None
    if not (isinstance(stem, nn.Conv2d) and isinstance(second, nn.Conv2d)):
        return None
    bottleneck = hasattr(first, "conv3")
    last = first.get_submodule("conv3") if bottleneck else second
    if not isinstance(last, nn.Conv2d):
        return None
    width = last.out_channels // (4 if bottleneck else 1)
    group_width = second.out_channels * 64 // (width * second.groups)
    pooled = isinstance(getattr(net, "maxpool", None), nn.MaxPool2d)
    found = ResNet(
        "bottleneck" if bottleneck else "basic",
        (depths[0], depths[1], depths[2], depths[3]),
        width,
        second.groups,
        group_width if bottleneck else 64,
        Stem(stem.in_channels, int(stem.kernel_size[0]), int(stem.stride[0]), pooled),
    )
    return found if _shapes(net) == _expected(found) else None


def _shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    tensors: dict[str, Tensor] = net.state_dict()
    return {name: tuple(t.shape) for name, t in tensors.items() if not name.endswith("num_batches_tracked")}


def _expected(r: ResNet) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors that such a ResNet has."""
    shapes = {"conv1.weight": (r.width, r.stem.bands, r.stem.kernel, r.stem.kernel)} | _norm("bn1", r.width)
    channels = r.width
    for stage, depth in enumerate(r.depths):
        planes = r.width << stage
        inner = planes * r.group_width // 64 * r.groups
        out = planes * (4 if r.block == "bottleneck" else 1)
        for block in range(depth):
            at = f"layer{stage + 1}.{block}."
            if r.block == "bottleneck":
                kernels = [(inner, channels, 1), (inner, inner // r.groups, 3), (out, inner, 1)]
            else:
                kernels = [(out, channels, 3), (out, out, 3)]
            for n, (c, of, k) in enumerate(kernels, 1):
                shapes |= {f"{at}conv{n}.weight": (c, of, k, k)} | _norm(f"{at}bn{n}", c)
            if block == 0 and (stage > 0 or channels != out):
                shapes |= {f"{at}downsample.0.weight": (out, channels, 1, 1)} | _norm(f"{at}downsample.1", out)
            channels = out
    return shapes


def _norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def _vit_options(vit: VitName, channels: int) -> tuple[tuple[str, Any], ...]:
    """What makes timm's ViT-S ours."""
    of_images = (("img_size", vit.side), ("patch_size", vit.patch))
    bands = (("in_chans", channels),) if channels != 3 else ()
    return (*of_images, ("embed_dim", vit.width), ("depth", vit.depth), ("num_heads", vit.heads), *bands)


def _timm_options(net: nn.Module, name: str) -> tuple[tuple[str, Any], ...]:
    """What `create_model` must be told besides the name: heads, which shapes do not show (MoCo v3's ViT-S has 12)."""
    import timm

    heads = {m.num_heads for m in net.modules() if isinstance(getattr(m, "num_heads", None), int)}
    if len(heads) != 1:
        return ()
    with torch.device("meta"):
        usual = timm.create_model(name, num_classes=0)
    if heads == {m.num_heads for m in usual.modules() if isinstance(getattr(m, "num_heads", None), int)}:
        return ()
    return (("num_heads", heads.pop()),)
