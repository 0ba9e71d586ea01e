"""BatchNorm over groups of images: what "batch 256 on 8 GPUs" means, on any number of devices.

The papers' BatchNorm runs on each of 8 GPUs over its 32 images. A `GroupBatchNorm` of 32 does the same arithmetic on
one device: consecutive images share their statistics, group by group. The running statistics follow the mean of the
groups' statistics (v1, section 3.3; the official single-GPU demo does the same).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moco.errors import MocoError

_BEHIND = {"drop", "act"}
"""What timm's BatchNorm carries inside it, to be applied behind it in this order."""


class GroupBatchNorm(nn.Module):
    """BatchNorm of N x C or N x C x H x W in training mode over groups of `group` images; in eval mode, plain.

    Parameters and buffers are those of `nn.BatchNorm1d/2d`, with the same names. Raises MocoError where the batch
    does not divide into groups.
    """

    affine = track_running_stats = True
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm, group: int) -> None:
        super().__init__()
        assert norm.track_running_stats
        assert norm.momentum is not None
        self.group = group
        self.form: Literal["groups", "at once", "kernels"] = "groups"
        """One group after the other, all at once (what a compiler always gets), or in kernels compiled for a CPU."""
        self.eps = norm.eps
        self.momentum = norm.momentum
        for name, start in (("weight", 1.0), ("bias", 0.0)):
            of_norm = getattr(norm, name)
            if isinstance(of_norm, nn.Parameter):
                self.register_parameter(name, of_norm)
            else:  # without weight and bias: as if they were always these
                self.register_buffer(name, torch.full_like(norm.running_mean, start), persistent=False)  # type: ignore[arg-type]
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        self._after = [name for name, _ in norm.named_children()]
        for name, child in norm.named_children():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        """x, normalised."""
        x = self._normalise(x)
        for name in self._after:
            x = getattr(self, name)(x)
        return x

    def _normalise(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        if len(x) % self.group:
            raise MocoError(
                f"a batch of {len(x)} images does not divide into BatchNorm groups of {self.group}; "
                "leave the last, incomplete batch out (drop_last=True), or take another group"
            )
        if x.ndim != 4 or not x.is_contiguous(memory_format=torch.channels_last):
            x = x.contiguous()  # in any other order of memory, torch's kernels write to wrong places of `out`
        normed: Tensor
        normed, mean, rstd = _FORMS[self._form_for(x)].apply(x, self.weight, self.bias, self.group, self.eps)
        self._track_(mean, rstd, values=x[: self.group].numel() // x.shape[1])
        return normed

    def _form_for(self, x: Tensor) -> str:
        if torch.compiler.is_compiling():
            return "at once"
        if self.form == "kernels":
            from moco.ops.fused_norm import takes

            return "kernels" if takes(x, self.weight) else "groups"
        return self.form

    @torch.no_grad()
    def _track_(self, mean: Tensor, rstd: Tensor, values: int) -> None:
        """Move the running statistics towards the mean over groups of mean and unbiased variance."""
        variance = (rstd.pow(-2) - self.eps).mean(dim=0) * (values / max(values - 1, 1))
        self.running_mean.lerp_(mean.mean(dim=0), self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1

    def extra_repr(self) -> str:
        """For printing."""
        return f"{len(self.weight)}, group={self.group}"


class _Groups(torch.autograd.Function):
    """Each group through torch's own kernels, written straight to its place: no group is copied behind the others.

    Gives x normalised (as x), and mean and 1 / standard deviation of each group (G x C, fp32, no gradient).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, group: int, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        out = torch.empty_like(x)
        exact = torch.promote_types(x.dtype, torch.float32)
        mean = torch.empty(len(x) // group, x.shape[1], dtype=exact, device=x.device)
        rstd = torch.empty_like(mean)
        for part, to, m, r in zip(torch.split(x, group), torch.split(out, group), mean, rstd, strict=True):
            torch.ops.aten.native_batch_norm.out(
                part, weight, bias, None, None, True, 0.0, eps, out=to, save_mean=m, save_invstd=r
            )
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.mark_non_differentiable(mean, rstd)
        ctx.group, ctx.eps = group, eps
        return out, mean, rstd

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _mean: Tensor, _rstd: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, rstd = ctx.saved_tensors
        grad_x = torch.empty_like(x)
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        parts = (torch.split(t, ctx.group) for t in (x, grad, grad_x))
        for part, above, to, m, r in zip(*parts, mean, rstd, strict=True):
            g_x, g_weight, g_bias = torch.ops.aten.native_batch_norm_backward(
                above, part, weight, None, None, m, r, True, ctx.eps, [True, True, True]
            )
            to.copy_(g_x)  # while it is still in the cache
            grad_weight += g_weight
            grad_bias += g_bias
        return grad_x, grad_weight, grad_bias, None, None


class _Batched(torch.autograd.Function):
    """All groups at once, as tensor functions: few calls, and what a compiler fuses with its neighbours.

    Takes and gives what `_Groups` does, in any memory format.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, group: int, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        parts, axes = _in_groups(x, group)
        variance, mean = torch.var_mean(parts, axes, correction=0, keepdim=True)
        rstd = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.group = group
        out = (parts - mean) * (rstd * _across(weight, parts)) + _across(bias, parts)
        mean, rstd = mean.reshape(len(mean), -1), rstd.reshape(len(rstd), -1)
        ctx.mark_non_differentiable(mean, rstd)
        own = torch.empty_like(x).copy_(out.flatten(0, 1))  # no view: what follows may work in place
        return own, mean, rstd

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _mean: Tensor, _rstd: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, rstd = ctx.saved_tensors
        parts, axes = _in_groups(x, ctx.group)
        above, _ = _in_groups(grad, ctx.group)
        hat = (parts - mean) * rstd
        along_one, along_hat = above.sum(axes, keepdim=True), (above * hat).sum(axes, keepdim=True)
        values = parts[0].numel() // parts.shape[2]
        grad_x = rstd * _across(weight, parts) * (above - (along_one + hat * along_hat) / values)
        grad_weight, grad_bias = (t.sum(0).flatten().to(weight.dtype) for t in (along_hat, along_one))
        return grad_x.flatten(0, 1).to(x.dtype), grad_weight, grad_bias, None, None


class _Kernels(torch.autograd.Function):
    """Compiled for a CPU (`fused_norm.py`); takes and gives what `_Groups` does."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, group: int, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        from moco.ops import fused_norm

        out, mean, rstd = fused_norm.forward(x, weight, bias, group, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.mark_non_differentiable(mean, rstd)
        ctx.group = group
        return out, mean, rstd

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _mean: Tensor, _rstd: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        from moco.ops import fused_norm

        x, weight, mean, rstd = ctx.saved_tensors
        return *fused_norm.backward(grad, x, weight, mean, rstd, ctx.group), None, None


_FORMS = {"groups": _Groups, "at once": _Batched, "kernels": _Kernels}


def _in_groups(x: Tensor, group: int) -> tuple[Tensor, list[int]]:
    """x as G x g x C x ... in fp32 at least, and the axes that share statistics."""
    parts: Tensor = x.unflatten(0, (-1, group))  # type: ignore[no-untyped-call]
    return parts.to(torch.promote_types(x.dtype, torch.float32)), [1, *range(3, parts.ndim)]


def _across(channels: Tensor, parts: Tensor) -> Tensor:
    return channels.view(1, 1, -1, *[1] * (parts.ndim - 3))


def group_batch_norm(module: nn.Module, group: int) -> nn.Module:
    """The module with each BatchNorm replaced by one over groups of `group` images; parameters are kept.

    Raises MocoError for a kind of BatchNorm that it does not know: one left alone would leak.
    """
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        known = type(module) in (nn.BatchNorm1d, nn.BatchNorm2d)
        if not (known or {name for name, _ in module.named_children()} == _BEHIND):
            raise MocoError(f"{type(module).__name__} cannot be split into groups; use --encoder.norm-group None")
        return GroupBatchNorm(module, group)
    for name, child in module.named_children():
        setattr(module, name, group_batch_norm(child, group))
    return module


def group_batch_norm_plain(x: Tensor, norm: nn.modules.batchnorm._BatchNorm, group: int) -> Tensor:
    """What `GroupBatchNorm` computes in training mode, written as one call of BatchNorm for each group."""
    return torch.cat(
        [F.batch_norm(c, None, None, norm.weight, norm.bias, True, 0.0, norm.eps) for c in torch.split(x, group)]
    )
