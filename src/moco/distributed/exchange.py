"""Tensors that travel between processes: gathered, permuted, averaged; differentiable where a step needs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from moco.distributed.agree import each
from moco.distributed.culprits import culprits_are_named
from moco.distributed.who import count, number

_BUCKET = 8 << 20
"""Numbers that are averaged or sent at a time (32 MiB of fp32)."""


def collect(own: Tensor) -> Tensor:
    """The rows that all processes have, however many each (N_p x ...), in the order of the processes; on the host."""
    if count() == 1:
        return own
    own = own.cpu().contiguous()
    shapes = each(tuple(own.shape[1:]))
    rows = each(len(own))
    widths = next((shape for shape, n in zip(shapes, rows, strict=True) if n), shapes[0])
    out = torch.empty(sum(rows), *widths, dtype=own.dtype)
    place = 0
    for process, n in enumerate(rows):
        part = out[place : place + n]
        if process == number() and n:
            part.copy_(own)
        at_once = max(1, _BUCKET // max(1, math.prod(widths)))
        for piece in part.split(at_once):  # type: ignore[no-untyped-call]
            with culprits_are_named():
                dist.broadcast(piece, process)
        place += n
    return out


def gather(x: Tensor) -> Tensor:
    """The rows (N/P x ...) of all processes (N x ...), in the order of the processes; without gradient."""
    return x if count() == 1 else _gathered(x.detach())


def gather_with_gradient(x: Tensor) -> Tensor:
    """The same; the gradient of a row is the sum over all processes that used it."""
    return x if count() == 1 else cast(Tensor, _Gather.apply(x))


def permute(x: Tensor, order: NDArray[np.int64]) -> Tensor:
    """Row i of the whole batch becomes row order[i] of it; a process sends and receives only its share, N/P rows.

    `order` is that of all N rows and known to all processes. Differentiable.
    """
    if x.dtype == torch.uint16:  # which torch before 2.8 does not index
        return permute(x.view(torch.int16), order).view(torch.uint16)
    if count() == 1:
        return x[torch.from_numpy(order).to(x.device, non_blocking=True)]
    return cast(Tensor, _Permute.apply(x, order))


@torch.no_grad()
def average_(tensors: Sequence[Tensor]) -> None:
    """Each tensor becomes its mean over the processes, bit-equal on all of them."""
    if count() == 1:
        return
    bucket: list[Tensor] = []
    filled = 0
    for tensor in tensors:
        if bucket and (filled + tensor.numel() > _BUCKET or tensor.dtype != bucket[0].dtype):
            _average_bucket_(bucket)
            bucket, filled = [], 0
        bucket.append(tensor)
        filled += tensor.numel()
    if bucket:
        _average_bucket_(bucket)


def _average_bucket_(tensors: list[Tensor]) -> None:
    flat = torch.cat([t.reshape(-1) for t in tensors])
    with culprits_are_named():
        dist.all_reduce(flat)
    flat /= count()
    parts = flat.split([t.numel() for t in tensors])  # type: ignore[no-untyped-call]
    torch._foreach_copy_(list(tensors), [part.view(t.shape) for part, t in zip(parts, tensors, strict=True)])


class Neighbours:
    """`size` consecutive processes, this one among them, that share BatchNorm groups."""

    def __init__(self, size: int) -> None:
        """All processes must make theirs together."""
        assert count() % size == 0
        self.size = size
        groups = [dist.new_group(list(range(first, first + size))) for first in range(0, count(), size)]
        self._group = groups[number() // size]

    def __deepcopy__(self, memo: object) -> Neighbours:
        return self

    def gather(self, x: Tensor) -> Tensor:
        """x of each of them (size x ...), in their order."""
        parts = [torch.empty_like(x) for _ in range(self.size)]
        with culprits_are_named():
            dist.all_gather(parts, x.contiguous(), group=cast(dist.ProcessGroup, self._group))
        return torch.stack(parts)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _gathered(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        received = torch.empty_like(grad)
        with culprits_are_named():
            dist.all_to_all_single(received, grad)  # and then a sum in a fixed order: the same bits on any network
        return received.view(count(), -1, *grad.shape[1:]).sum(dim=0)


class _Permute(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: NDArray[np.int64]) -> Tensor:
        ctx.order = order
        return _exchange(x, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _exchange(grad, np.argsort(ctx.order)), None


def _gathered(x: Tensor) -> Tensor:
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(count())]
    with culprits_are_named():
        dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def _exchange(x: Tensor, order: NDArray[np.int64]) -> Tensor:
    rows, me = len(x), number()
    assert len(order) == rows * count()
    to_each = [share[share // rows == me] - me * rows for share in np.split(order, count())]
    owners = order[me * rows : (me + 1) * rows] // rows
    sent = x[torch.from_numpy(np.concatenate(to_each)).to(x.device, non_blocking=True)].contiguous()
    received = torch.empty_like(sent)
    with culprits_are_named():
        dist.all_to_all_single(
            received, sent, np.bincount(owners, minlength=count()).tolist(), [len(part) for part in to_each]
        )
    out = torch.empty_like(x)
    out[torch.from_numpy(np.argsort(owners, kind="stable")).to(x.device, non_blocking=True)] = received
    return out
