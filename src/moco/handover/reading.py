"""A ResNet read from named tensors as a library defines it, in plain functions: for formats whose library is not here.

Nothing is shared with the networks that wrote the tensors. A tensor that the definition has no use for is refused, as
is one that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from moco.errors import MocoError

DEPTHS = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
"""What Detectron2 and OpenMMLab build under a depth."""


@dataclass(frozen=True)
class Names:
    """How a library names the parts of a ResNet."""

    stem: str
    stages: tuple[str, str, str, str]
    shortcut: str
    norm: Callable[[str], str]
    """Name of a convolution to that of the BatchNorm behind it."""


@dataclass(frozen=True)
class Plan:
    """What the library's configuration says."""

    depth: int
    groups: int = 1
    stem_stride: int = 2
    pooled: bool = True


class _Reader:
    def __init__(self, tensors: Mapping[str, Tensor], names: Names) -> None:
        self.tensors, self.names = tensors, names
        self.used: set[str] = set()

    def _take(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise MocoError(f"the file has no tensor {name}, which its format asks for; nothing is left behind")
        self.used.add(name)
        return self.tensors[name]

    def convolved(self, x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        """A convolution that keeps the middle in the middle, and the BatchNorm behind it, as at test time."""
        kernel = self._take(f"{name}.weight")
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)
        norm = self.names.norm(name)
        mean, variance, weight, bias = (
            self._take(f"{norm}.{part}").view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def block(self, x: Tensor, at: str, kind: str, stride: int, groups: int) -> Tensor:
        """x + f(x); the stride is in the 3x3 convolution."""
        if kind == "basic":
            y = self.convolved(F.relu(self.convolved(x, f"{at}.conv1", stride)), f"{at}.conv2")
        else:
            y = F.relu(self.convolved(x, f"{at}.conv1"))
            y = F.relu(self.convolved(y, f"{at}.conv2", stride, groups))
            y = self.convolved(y, f"{at}.conv3")
        if x.shape != y.shape:
            x = self.convolved(x, f"{at}.{self.names.shortcut}", stride)
        return F.relu(x + y)


@torch.no_grad()
def read_features(tensors: Mapping[str, Tensor], names: Names, plan: Plan, images: Tensor) -> Tensor:
    """Features N x D of normalised images N x 3 x S x S: the last stage, averaged.

    Raises MocoError where a tensor is missing or has no use.
    """
    reader = _Reader(tensors, names)
    kind, depths = DEPTHS[plan.depth]
    x = F.relu(reader.convolved(images, names.stem, plan.stem_stride))
    if plan.pooled:
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
    for stage, (name, blocks) in enumerate(zip(names.stages, depths, strict=True)):
        for block in range(blocks):
            x = reader.block(x, f"{name}.{block}", kind, 2 if stage > 0 and block == 0 else 1, plan.groups)
    _refuse_unused(tensors, reader.used)
    return x.mean(dim=(2, 3))


def _refuse_unused(tensors: Mapping[str, Tensor], used: set[str]) -> None:
    unused: Sequence[str] = [n for n in tensors if n not in used and not n.endswith("num_batches_tracked")]
    if unused:
        raise MocoError(f"the format has no place for {len(unused)} tensors ({unused[0]}); nothing is left behind")
