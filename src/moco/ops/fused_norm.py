"""BatchNorm over groups on a CPU, compiled with Numba: faster than torch's own over the whole batch.

The twin is one call of torch's BatchNorm for each group (`batch_norm.py`). In channels_last, the numbers of a group are
a matrix of pixels times channels, in fp32 or bf16. It is cut into pieces of rows, each for whichever thread is free, so
that no sum depends on the number of threads. Sums within a piece are fp32 and of the distance to its first row, so that
a large mean does not eat up a small variance; over pieces they are fp64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import carray, cfunc, njit, types
from torch import Tensor

from moco.ops.compiled import Array
from moco.ops.native import narrow, on_all_threads, pointer, take, widen

PIECE = 1 << 15
"""Numbers in a piece: it, and what becomes of it, fit the second cache."""

LEAST = 64
"""Rows that a piece has at least, so that the sums of pieces are few beside the numbers in them."""

SHORT = 256
"""Bytes of a row up to which several are worked on at a time; longer ones come from memory faster one by one."""

_SUMS, _SCALE, _BACK_SUMS, _BACK_SCALE = range(4)

_FLAGS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
    "cache": True,
}
"""Sums in any order; what is not finite stays so, for a run to notice."""


def takes(x: Tensor, weight: Tensor) -> bool:
    """Whether this is a batch for the kernels: N x C or in channels_last, fp32 or bf16, with weights in fp32."""
    kind = x.dtype in (torch.float32, torch.bfloat16) and weight.dtype == torch.float32
    return x.device.type == "cpu" and kind and x.ndim in (2, 4) and x.is_contiguous(memory_format=_format(x))


def forward(x: Tensor, weight: Tensor, bias: Tensor, group: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """x (N x C or N x C x H x W) normalised; mean and 1 / standard deviation of each group (G x C, fp32)."""
    out = torch.empty_like(x)
    pixels = _pixels(x, group)
    mean, rstd, gain, offset = torch.empty(4, len(pixels), x.shape[1])
    sums, each = _run(_SUMS, pixels, pixels, pixels, mean, mean, mean)
    _settle(*_arrays(sums, weight, bias), pixels.shape[1], each, eps, *_arrays(mean, rstd, gain, offset))
    _run(_SCALE, pixels, pixels, _pixels(out, group), gain, offset, offset)
    return out, mean, rstd


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor, group: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    grad_x = torch.empty_like(x)
    pixels, above = _pixels(x, group), _pixels(grad.to(x.dtype).contiguous(memory_format=_format(x)), group)
    gain, slope, offset = torch.empty(3, *mean.shape)
    grad_weight, grad_bias = torch.empty_like(weight), torch.empty_like(weight)
    sums, _ = _run(_BACK_SUMS, pixels, above, pixels, mean, mean, mean)
    made = _arrays(gain, slope, offset, grad_weight, grad_bias)
    _settle_back(*_arrays(sums, weight, mean, rstd), pixels.shape[1], *made)
    _run(_BACK_SCALE, pixels, above, _pixels(grad_x, group), gain, slope, offset)
    return grad_x, grad_weight, grad_bias


def _format(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.ndim == 4 else torch.contiguous_format


def _pixels(x: Tensor, group: int) -> Tensor:
    """The memory of x as G x pixels of a group x C."""
    x = x.detach()
    return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).view(len(x) // group, -1, x.shape[1])  # never a copy


def _arrays(*tensors: Tensor) -> list[Array]:
    return [t.detach().numpy() for t in tensors]


def _run(task: int, x: Tensor, above: Tensor, out: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, int]:
    """One task over all pieces; sums, where it makes some, as G x pieces x 3 x C, and the rows of a piece."""
    groups, rows, channels = x.shape
    each = max(LEAST, PIECE // channels)
    pieces = -(-rows // each)
    sums = torch.empty((groups, pieces, 3, channels) if task in (_SUMS, _BACK_SUMS) else 0)
    places = (t.data_ptr() for t in (x, above, out, sums, a, b, c))
    on_all_threads(_work, groups * pieces, task, x.element_size(), groups, rows, channels, pieces, each, *places)
    return sums, each


@njit(**_FLAGS)  # type: ignore[untyped-decorator]
def _settle(
    sums: Array, weight: Array, bias: Array, rows: int, each: int, eps: float,
    mean: Array, rstd: Array, gain: Array, offset: Array,
) -> None:  # fmt: skip
    """From the sums of pieces: statistics, and the line that normalises. Pieces are put together as Chan et al. do."""
    channels = sums.shape[3]
    middle, spread = np.empty(channels, np.float64), np.empty(channels, np.float64)
    for g in range(len(sums)):
        middle[:] = 0
        spread[:] = 0
        for p in range(sums.shape[1]):
            share = min(each, rows - p * each) / rows
            for c in range(channels):
                middle[c] += share * sums[g, p, 2, c] + sums[g, p, 0, c] / rows
        for p in range(sums.shape[1]):
            n = min(each, rows - p * each)
            for c in range(channels):
                away = np.float64(sums[g, p, 0, c]) / n
                apart = sums[g, p, 2, c] + away - middle[c]
                spread[c] += max(sums[g, p, 1, c] - n * away * away, 0.0) + n * apart * apart
        for c in range(channels):
            k = 1 / np.sqrt(spread[c] / rows + eps)
            mean[g, c], rstd[g, c] = middle[c], k
            gain[g, c], offset[g, c] = weight[c] * k, bias[c] - middle[c] * weight[c] * k


@njit(**_FLAGS)  # type: ignore[untyped-decorator]
def _settle_back(
    sums: Array, weight: Array, mean: Array, rstd: Array, rows: int,
    gain: Array, slope: Array, offset: Array, grad_weight: Array, grad_bias: Array,
) -> None:  # fmt: skip
    """From sums of gradients, and of gradients times distances: the plane that x and its gradient lie on."""
    channels = sums.shape[3]
    total, over_groups = np.empty((2, channels), np.float64), np.zeros((2, channels), np.float64)
    for g in range(len(sums)):
        total[:] = 0
        for p in range(sums.shape[1]):
            for c in range(channels):
                total[0, c] += sums[g, p, 0, c]
                total[1, c] += sums[g, p, 1, c]
        for c in range(channels):
            k = np.float64(rstd[g, c])
            a = weight[c] * k
            b = -a * k * k * total[1, c] / rows
            gain[g, c], slope[g, c] = a, b
            offset[g, c] = -a * total[0, c] / rows - b * mean[g, c]
            over_groups[0, c] += total[0, c]
            over_groups[1, c] += total[1, c] * k
    grad_bias[:], grad_weight[:] = over_groups[0], over_groups[1]


@njit(**_FLAGS)  # type: ignore[untyped-decorator]
def _together(x: Array, rows: int) -> int:
    """How many of the rows are worked on so many at a time; none, where they are long."""
    return len(x) // rows * rows if x.shape[1] * x.itemsize <= SHORT else 0


@njit(**_FLAGS)  # type: ignore[untyped-decorator]
def _sums(x: Array, sums: Array) -> None:
    """Sums over rows of the distance to the first, of its square, and that row; four at a time where they are short."""
    sums[:2] = 0
    first, second, origin = sums[0], sums[1], sums[2]
    for c in range(len(origin)):
        origin[c] = widen(x[0, c])
    whole = _together(x, 4)
    for r in range(0, whole, 4):
        x0, x1, x2, x3 = x[r], x[r + 1], x[r + 2], x[r + 3]
        for c in range(len(origin)):
            d0, d1 = widen(x0[c]) - origin[c], widen(x1[c]) - origin[c]
            d2, d3 = widen(x2[c]) - origin[c], widen(x3[c]) - origin[c]
            first[c] += (d0 + d1) + (d2 + d3)
            second[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
    for r in range(whole, len(x)):
        for c in range(len(origin)):
            d0 = widen(x[r, c]) - origin[c]
            first[c] += d0
            second[c] += d0 * d0


@njit(**_FLAGS)  # type: ignore[untyped-decorator]
def _back_sums(x: Array, above: Array, mean: Array, sums: Array) -> None:
    """Sums over rows of the gradient, and of it times x - mean; two rows at a time where they are short."""
    sums[:2] = 0
    first, second = sums[0], sums[1]
    whole = _together(x, 2)
    for r in range(0, whole, 2):
        x0, x1, g0, g1 = x[r], x[r + 1], above[r], above[r + 1]
        for c in range(len(mean)):
            y0, y1 = widen(g0[c]), widen(g1[c])
            first[c] += y0 + y1
            second[c] += y0 * (widen(x0[c]) - mean[c]) + y1 * (widen(x1[c]) - mean[c])
    for r in range(whole, len(x)):
        for c in range(len(mean)):
            y0 = widen(above[r, c])
            first[c] += y0
            second[c] += y0 * (widen(x[r, c]) - mean[c])


@njit(**_FLAGS)  # type: ignore[untyped-decorator]
def _scale(x: Array, out: Array, gain: Array, offset: Array) -> None:
    for r in range(len(x)):
        x0, out0 = x[r], out[r]
        for c in range(len(gain)):
            out0[c] = narrow(widen(x0[c]) * gain[c] + offset[c], out0[c])


@njit(**_FLAGS)  # type: ignore[untyped-decorator]
def _back_scale(x: Array, above: Array, out: Array, gain: Array, slope: Array, offset: Array) -> None:
    for r in range(len(x)):
        x0, g0, out0 = x[r], above[r], out[r]
        for c in range(len(gain)):
            out0[c] = narrow(gain[c] * widen(g0[c]) + slope[c] * widen(x0[c]) + offset[c], out0[c])


@njit(**_FLAGS)  # type: ignore[untyped-decorator]
def _take_all(
    at: Any, task: int, each: int, x: Array, above: Array, out: Array, sums: Array, a: Array, b: Array, c: Array
) -> None:
    """Take pieces and do the task on them, until there are none."""
    rows, pieces = x.shape[1], sums.shape[1]
    number = take(at)
    while number < len(x) * pieces:
        g, p = number // pieces, number % pieces
        part = slice(p * each, min((p + 1) * each, rows))
        if task == _SUMS:
            _sums(x[g, part], sums[g, p])
        elif task == _BACK_SUMS:
            _back_sums(x[g, part], above[g, part], a[g], sums[g, p])
        elif task == _SCALE:
            _scale(x[g, part], out[g, part], a[g], b[g])
        else:
            _back_scale(x[g, part], above[g, part], out[g, part], a[g], b[g], c[g])
        number = take(at)


@cfunc(types.void(types.CPointer(types.int64)), cache=True)  # type: ignore[untyped-decorator]
def _work(at: Any) -> None:
    """What each thread does. `at` holds a counter, the task, the bytes of a number, sizes and addresses: see `_run`."""
    task, width, each = at[1], at[2], at[7]
    shape, small, of_sums = (at[3], at[4], at[5]), (at[3], at[5]), (at[3], at[6], 3, at[5])
    sums = carray(pointer(at[11], np.float32), of_sums)
    a = carray(pointer(at[12], np.float32), small)
    b = carray(pointer(at[13], np.float32), small)
    c = carray(pointer(at[14], np.float32), small)
    if width == 4:
        x = carray(pointer(at[8], np.float32), shape)
        above = carray(pointer(at[9], np.float32), shape)
        out = carray(pointer(at[10], np.float32), shape)
        _take_all(at, task, each, x, above, out, sums, a, b, c)
    else:
        x16 = carray(pointer(at[8], np.uint16), shape)
        above16 = carray(pointer(at[9], np.uint16), shape)
        out16 = carray(pointer(at[10], np.uint16), shape)
        _take_all(at, task, each, x16, above16, out16, sums, a, b, c)
