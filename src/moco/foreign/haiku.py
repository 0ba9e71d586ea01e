"""BYOL as its authors published it: a ResNet of haiku in a pickle of arrays, whose convolutions pad as TensorFlow's.

`experiment_state` is a tuple of the online network's parameters, the target's, and the statistics of both.
"""

from __future__ import annotations

import re
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from moco.foreign.architecture import Architecture
from moco.foreign.containers import Tensors
from moco.foreign.dialect import Dialect
from moco.foreign.resnets import Plan, PlannedResNet, read_plan

_PLACE = re.compile(r"(\d)\.(?:0\.)?\w+/~/(.+?)\.(?:0\.)?(\w+)$")
"""Which member of the tuple, which layer, and which of its arrays; a frozen dict lies around both levels or none."""

_LAYERS = [
    (re.compile(r"initial_conv$"), r"conv1"),
    (re.compile(r"initial_batchnorm$"), r"bn1"),
    (re.compile(r"block_group_(\d)/~/block_(\d+)/~/shortcut_conv$"), r"layer{0}.\2.downsample.0"),
    (re.compile(r"block_group_(\d)/~/block_(\d+)/~/shortcut_batchnorm$"), r"layer{0}.\2.downsample.1"),
    (re.compile(r"block_group_(\d)/~/block_(\d+)/~/conv_(\d)$"), r"layer{0}.\2.conv{1}"),
    (re.compile(r"block_group_(\d)/~/block_(\d+)/~/batchnorm_(\d)$"), r"layer{0}.\2.bn{1}"),
]
_ARRAYS = {"w": "weight", "scale": "weight", "offset": "bias"}
_STATISTICS = {"mean_ema": "running_mean", "var_ema": "running_var"}
_ONLINE, _ONLINE_STATE = "0", "2"


def translate(tensors: Tensors) -> Tensors:
    """The online network by torchvision's names and in its order of axes; all else under its own name."""
    found: Tensors = {}
    for name, tensor in tensors.items():
        ours = _ours(name)
        if ours is None:
            found[name] = tensor
        elif tensor.ndim == 4 and ours.endswith("weight") and not re.search(r"bn\d|downsample\.1", ours):
            found[ours] = tensor.permute(3, 2, 0, 1)
        else:
            found[ours] = tensor.reshape(-1)
    return found


def _ours(name: str) -> str | None:
    match = _PLACE.match(name)
    if match is None:
        return None
    member, layer, array = match.groups()
    if member == _ONLINE_STATE and array == "average":
        layer, _, statistic = layer.rpartition("/~/")
        return _named(layer, _STATISTICS.get(statistic))
    return _named(layer, _ARRAYS.get(array)) if member == _ONLINE else None


def _named(layer: str, array: str | None) -> str | None:
    for pattern, new in _LAYERS:
        if array is not None and (match := pattern.match(layer)):
            numbers = [int(number) + 1 for number in (*match.groups()[:1], *match.groups()[2:])]
            return f"{match.expand(new.format(*numbers))}.{array}"
    return None


def read(tensors: Tensors) -> Architecture | None:
    """The ResNet that it is, with paddings of its own; no recipe can name it."""
    plan = read_plan(tensors)
    if plan is None or not plan.bottleneck:
        return None
    about = f"{plan.about}, padded as TensorFlow does"
    return Architecture(about, partial(make, plan), channels=plan.channels)


def make(plan: Plan) -> nn.Module:
    """The ResNet whose layers of stride 2 pad at the right and below first."""
    net = PlannedResNet(plan)
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2) and module.kernel_size[0] > 1:
            net.set_submodule(name, _SameConv2d.of(module))
    net.set_submodule("maxpool", _SameMaxPool2d(3, 2))
    return net


class _SameConv2d(nn.Conv2d):
    """Padding "SAME": the output is as large as the input over the stride, the odd pixel of padding comes last."""

    @classmethod
    def of(cls, other: nn.Conv2d) -> _SameConv2d:
        kernel, stride = (int(other.kernel_size[0]), int(other.stride[0]))
        made = cls(other.in_channels, other.out_channels, kernel, stride, groups=other.groups, bias=False)
        made.weight = other.weight
        return made

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(
            _padded(x, self.kernel_size[0], self.stride[0]), self.weight, None, self.stride, 0, 1, self.groups
        )


class _SameMaxPool2d(nn.MaxPool2d):
    def forward(self, x: Tensor) -> Tensor:  # behind a ReLU: zeros beside the image are no maximum
        return F.max_pool2d(_padded(x, 3, 2), 3, 2)


def _padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    pads: list[int] = []
    for side in (x.shape[3], x.shape[2]):
        total = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


DIALECTS = [Dialect("BYOL's authors", r"0\.(?:0\.)?\w+/~/initial_conv\.(?:0\.)?w", translate, read)]
