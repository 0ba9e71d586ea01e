"""BatchNorm over all rows that several processes hold, however many each: the papers' SyncBN, on any device."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moco import distributed


class SharedBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose statistics in training are those of the rows of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """x, normalised; all processes must call it together."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        normed, mean, var, count = cast(
            "tuple[Tensor, Tensor, Tensor, Tensor]", _Shared.apply(x, self.weight, self.bias, self.eps)
        )
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            unbiased = var * (count / (count - 1).clamp_min(1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
        return normed


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        axes = [0, *range(2, x.ndim)]
        exact = x.float()
        own = exact.numel() // max(x.shape[1], 1)
        mean = exact.mean(axes) if own else exact.new_zeros(x.shape[1])
        spread = ((exact - _across(mean, x)) ** 2).sum(axes)
        told = torch.stack([mean, spread, torch.full_like(mean, float(own))])
        means, spreads, counts = distributed.gather(told[None]).unbind(1)
        count = counts.sum(0)
        mean = (means * counts).sum(0) / count
        var = (spreads + counts * (means - mean) ** 2).sum(0) / count
        rstd = (var + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, rstd, count)
        ctx.mark_non_differentiable(mean, var, count)
        out = (exact - _across(mean, x)) * _across(rstd * weight, x) + _across(bias, x)
        return out.to(x.dtype), mean, var, count

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, rstd, count = ctx.saved_tensors
        axes = [0, *range(2, x.ndim)]
        above = grad.float()
        hat = (x.float() - _across(mean, x)) * _across(rstd, x)
        own = torch.stack([above.sum(axes), (above * hat).sum(axes)])
        along_one, along_hat = distributed.gather(own[None]).sum(0).unbind(0)
        spread = (_across(along_one, x) + hat * _across(along_hat, x)) / _across(count, x)
        grad_x = _across(rstd * weight, x) * (above - spread)
        return grad_x.to(x.dtype), own[1], own[0], None


class FrozenBatchNorm(nn.BatchNorm2d):
    """BatchNorm that keeps statistics and parameters, in training too."""

    def forward(self, x: Tensor) -> Tensor:
        """x, normalised by the kept statistics."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


def share_norms_(module: nn.Module) -> None:
    """Each BatchNorm2d over the rows of all processes; parameters, buffers and names stay."""
    for one in module.modules():
        if type(one) is nn.BatchNorm2d:
            one.__class__ = SharedBatchNorm


def freeze_norms_(module: nn.Module) -> None:
    """Each BatchNorm2d as it is, without gradient."""
    for one in module.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.__class__ = FrozenBatchNorm
            one.requires_grad_(False)


def _across(channels: Tensor, x: Tensor) -> Tensor:
    return channels.view(1, -1, *[1] * (x.ndim - 2))
