"""The sums of `info_nce` over a dictionary in one Triton kernel, for CUDA; its twin is `info_nce.chunked`.

A program takes some queries and a stretch of the keys, and goes along the keys block by block: similarities, their
greatest so far, the sum of their exponentials and the keys mixed by them stay on the chip. The stretches, about as
many as keep a GPU busy, are put together afterwards by tensor functions. Keys are read as they are kept (fp32, bf16,
int8 with a scale) and multiplied in fp32.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from moco.ops.info_nce import Sums

QUERIES, KEYS = 32, 32
"""Rows of a block: at 128 numbers a row a program takes at most 74 KiB of shared memory, which every GPU has."""

PROGRAMS = 512
"""How many programs keep a GPU busy: an H100 has 132 multiprocessors."""


def fused(q: Tensor, others: Tensor, scale: Tensor | None, temperature: float, gradient: bool) -> Sums:
    """`chunked` in one pass over the keys (M x C); extra memory is about `PROGRAMS` blocks of queries."""
    n, dim = q.shape
    blocks = triton.cdiv(n, QUERIES)
    stretches = max(1, min(triton.cdiv(len(others), KEYS), PROGRAMS // blocks))
    length = triton.cdiv(triton.cdiv(len(others), stretches), KEYS) * KEYS
    stretches = triton.cdiv(len(others), length)
    hardest, total = q.new_empty(2, stretches, n)
    mixed = q.new_empty(stretches, n, dim) if gradient else q.new_empty(1)
    keys = q.new_empty(stretches, dim)
    kernel: Any = _sums
    with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]
        kernel[(blocks, stretches)](
            q.contiguous(),
            others.contiguous(),
            q if scale is None else scale.contiguous(),
            hardest,
            total,
            mixed,
            keys,
            n,
            len(others),
            length,
            dim,
            1 / temperature,
            scaled=scale is not None,
            gradient=gradient,
            rows=QUERIES,
            columns=KEYS,
            width=max(16, triton.next_power_of_2(dim)),
            precision=_precision(q),
            num_warps=4,
            num_stages=2,
        )
    return _together(hardest, total, mixed if gradient else None, keys, q, temperature)


def _precision(q: Tensor) -> str:
    """fp32 products: as three of TF32 on tensor cores where there are such, else as they are."""
    return "tf32x3" if q.is_cuda and torch.cuda.get_device_capability(q.device) >= (8, 0) else "ieee"


def _together(
    hardest: Tensor, total: Tensor, mixed: Tensor | None, keys: Tensor, q: Tensor, temperature: float
) -> Sums:
    """The sums over all stretches (S x N, S x N, S x N x C, S x C)."""
    greatest = hardest.amax(dim=0)
    share = ((hardest - greatest) / temperature).exp()
    whole = torch.zeros_like(q) if mixed is None else torch.einsum("sn,snc->nc", share, mixed)
    return Sums(greatest, (share * total).sum(dim=0), whole, keys.sum(dim=0))


@triton.jit  # type: ignore[untyped-decorator]
def _sums(  # type: ignore[no-untyped-def]
    q, others, scale, hardest_out, total_out, mixed_out, keys_out, n, m, length, dim, inverse_temperature,
    scaled: tl.constexpr, gradient: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr, width: tl.constexpr,
    precision: tl.constexpr,
):  # fmt: skip
    block, stretch = tl.program_id(0), tl.program_id(1)
    row = block * rows + tl.arange(0, rows)
    channel = tl.arange(0, width)
    in_rows, in_channels = row < n, channel < dim
    queries = tl.load(q + row[:, None] * dim + channel, mask=in_rows[:, None] & in_channels, other=0.0)

    hardest = tl.full((rows,), float("-inf"), tl.float32)
    total = tl.zeros((rows,), tl.float32)
    mixed = tl.zeros((rows, width), tl.float32)
    sum_of_keys = tl.zeros((width,), tl.float32)
    first = stretch.to(tl.int64) * length
    for start in range(0, length, columns):
        key = first + start + tl.arange(0, columns)
        in_keys = key < m
        keys = tl.load(others + key[:, None] * dim + channel, mask=in_keys[:, None] & in_channels, other=0.0)
        keys = keys.to(tl.float32)
        if scaled:
            keys *= tl.load(scale + key, mask=in_keys, other=0.0)[:, None]
        similar = tl.dot(queries, tl.trans(keys), input_precision=precision)
        similar = tl.where(in_keys[None, :], similar, float("-inf"))
        before, hardest = hardest, tl.maximum(hardest, tl.max(similar, 1))
        weights = tl.exp((similar - hardest[:, None]) * inverse_temperature)
        fade = tl.exp((before - hardest) * inverse_temperature)
        total = total * fade + tl.sum(weights, 1)
        if gradient:
            mixed = mixed * fade[:, None] + tl.dot(weights, keys, input_precision=precision)
        if block == 0:
            sum_of_keys += tl.sum(keys, 0)

    place = stretch.to(tl.int64) * n + row
    tl.store(hardest_out + place, hardest, mask=in_rows)
    tl.store(total_out + place, total, mask=in_rows)
    if gradient:
        tl.store(mixed_out + place[:, None] * dim + channel, mixed, mask=in_rows[:, None] & in_channels)
    if block == 0:
        tl.store(keys_out + stretch.to(tl.int64) * dim + channel, sum_of_keys, mask=in_channels)
