"""BatchNorm over groups of images that several processes share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from moco.distributed import Neighbours, count
from moco.errors import MocoError
from moco.ops.batch_norm import GroupBatchNorm


class SyncGroupBatchNorm(GroupBatchNorm):
    """A `GroupBatchNorm` whose group is the images of some neighbouring processes: only these exchange statistics."""

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm | GroupBatchNorm, group: int, shared: Neighbours) -> None:
        super().__init__(norm, group)  # type: ignore[arg-type]
        self._shared = shared

    def _normalise(self, x: Tensor) -> Tensor:
        if not self.training:
            return super()._normalise(x)
        assert len(x) * self._shared.size == self.group
        normed: Tensor
        normed, mean, rstd = _Shared.apply(x, self.weight, self.bias, self._shared, self.eps)
        self._track_(mean[None], rstd[None], values=self.group * (x.numel() // len(x) // x.shape[1]))
        return normed


class _Shared(torch.autograd.Function):
    """x normalised by the statistics of the group (as x), and these: mean and 1 / standard deviation (C).

    Statistics and their gradients are put together from those of each process in the order of the processes. Each
    process's loss is a mean over its own images, so what comes back is the gradient of the sum of all losses.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, shared: Neighbours, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        axes = [0, *range(2, x.ndim)]
        exact = x.float()
        variance, mean = torch.var_mean(exact, axes, correction=0)
        means, variances = shared.gather(torch.stack([mean, variance])).unbind(1)
        mean = means.mean(dim=0)
        rstd = (variances.mean(dim=0) + means.var(dim=0, correction=0) + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.mark_non_differentiable(mean, rstd)
        ctx.shared = shared
        hat = (exact - _across(mean, x)) * _across(rstd, x)
        return (hat * _across(weight, x) + _across(bias, x)).to(x.dtype), mean, rstd

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _mean: Tensor, _rstd: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, rstd = ctx.saved_tensors
        axes = [0, *range(2, x.ndim)]
        above = grad.float()
        hat = (x.float() - _across(mean, x)) * _across(rstd, x)
        grad_bias, grad_weight = above.sum(axes), (above * hat).sum(axes)
        values = x.numel() // x.shape[1] * ctx.shared.size
        along_one, along_hat = ctx.shared.gather(torch.stack([grad_bias, grad_weight])).sum(dim=0) / values
        grad_x = _across(weight * rstd, x) * (above - _across(along_one, x) - hat * _across(along_hat, x))
        return grad_x.to(x.dtype), grad_weight, grad_bias, None, None


def _across(channels: Tensor, x: Tensor) -> Tensor:
    return channels.view(1, -1, *[1] * (x.ndim - 2))


def norms_over_processes(module: nn.Module, batch: int, group: int | None) -> None:
    """Make BatchNorm groups (None: the whole batch) that are larger than a process's share common to its processes.

    Raises MocoError where the batch does not divide among the processes, or groups neither into shares nor shares into
    groups.
    """
    if batch % count():
        raise MocoError(
            f"a batch of {batch} images does not divide among {count()} processes; "
            f"set --batch to a multiple of {count()}, or start another number of processes"
        )
    share, group = batch // count(), group or batch
    if count() == 1 or share % group == 0:
        return
    if group % share:
        raise MocoError(
            f"BatchNorm groups of {group} images do not fit {count()} processes of {share} images each: one must "
            f"divide the other. Set --encoder.norm-group to a divisor or a multiple of {share}, or start another "
            "number of processes"
        )
    _replace(module, group, Neighbours(group // share))


def _replace(module: nn.Module, group: int, shared: Neighbours) -> None:
    for name, child in module.named_children():
        if isinstance(child, GroupBatchNorm | nn.modules.batchnorm._BatchNorm):
            setattr(module, name, SyncGroupBatchNorm(child, group, shared))
        else:
            _replace(child, group, shared)
