"""Running statistics of BatchNorm over the parts of a batch: what they become for the batch undivided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Part = TypeVar("Part")


def running(module: nn.Module) -> list[Tensor]:
    """Running means and variances: linear in the statistics of the groups that they follow."""
    return [b for name, b in module.named_buffers() if name.endswith(("running_mean", "running_var"))]


def one_batch(module: nn.Module, parts: Sequence[Part]) -> Iterator[Part]:
    """Each part in turn, to be put through the module; afterwards its statistics are those of one batch of all.

    Every part starts from the same statistics, and their mean is kept, which is what the mean of all groups would give.
    """
    if len(parts) == 1:
        yield parts[0]
        return
    buffers = running(module)
    counts = [b for name, b in module.named_buffers() if name.endswith("num_batches_tracked")]
    with torch.no_grad():
        start = [b.clone() for b in [*buffers, *counts]]
        total = [torch.zeros_like(b) for b in buffers]
    for part in parts:
        with torch.no_grad():
            for b, s in zip([*buffers, *counts], start, strict=True):
                b.copy_(s)
        yield part
        with torch.no_grad():
            for t, b in zip(total, buffers, strict=True):
                t.add_(b)
    with torch.no_grad():
        for b, t in zip(buffers, total, strict=True):
            b.copy_(t / len(parts))
