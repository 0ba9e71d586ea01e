"""Crops on a CPU, compiled: down the columns into one row at a time, along that row into the view.

Places in a row are counted in unsigned numbers: with signed ones each look at a pixel would ask whether it is meant
from the end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from moco.ops.compiled import Array, fast

_F: Any = np.float32
_ZERO, _HALF, _ONE = _F(0), _F(0.5), _F(1)
_U: Any = np.uint64
_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11 = (_U(n) for n in range(1, 12))


@fast
def crop(out: Array, pixels: Array, boxes: Array, flip: Array, flip_vertical: Array) -> None:
    """Each box of uint8 N x 3 x H x W, resized into float32 N x 3 x S x S in [0, 1] and flipped where asked for."""
    size = out.shape[2]
    widest = boxes[:, 3].max()
    rows = np.empty((3, widest), np.float32)
    for i in range(len(pixels)):
        top, left, height, width = boxes[i]
        y_first, y_count, y_weights = _triangles(0.0, height, height, size, flip_vertical[i], _F(1 / 255))
        x_first, x_count, x_weights = _triangles(0.0, width, width, size, flip[i], _ONE)
        for y in range(size):
            for c in range(3):
                _down(rows[c, :width], pixels[i, c], top + np.int64(y_first[y]), left, y_weights[y], y_count[y])
            _along(out[i, 0, y], out[i, 1, y], out[i, 2, y], rows, x_first, x_count, x_weights)


@fast
def cut(out: Array, pixels: Array, box: Array, flip: bool, flip_vertical: bool) -> None:
    """The box (top, left, height, width, between pixels too) of H x 3W, resized into uint8 3 x S x S and flipped.

    The three values of each pixel lie beside each other.
    """
    size = out.shape[1]
    top, y_end = math.floor(box[0]), min(math.ceil(box[0] + box[2]), pixels.shape[0])
    left, x_end = math.floor(box[1]), min(math.ceil(box[1] + box[3]), pixels.shape[1] // 3)
    y_first, y_count, y_weights = _triangles(box[0] - top, box[2], y_end - top, size, flip_vertical, _ONE)
    x_first, x_count, x_weights = _triangles(box[1] - left, box[3], x_end - left, size, flip, _ONE)
    row = np.zeros(3 * (x_end - left) + 9, np.float32)  # nine more, which weights of zero reach
    line = np.empty((3, size), np.float32)
    for y in range(size):
        _down(row[: 3 * (x_end - left)], pixels, top + np.int64(y_first[y]), 3 * left, y_weights[y], y_count[y])
        _along_threes(line[0], line[1], line[2], row, x_first, x_count, x_weights)
        for c in range(3):
            _round(out[c, y], line[c])


@fast
def _down(row: Array, pixels: Array, top: int, left: int, weights: Array, count: int) -> None:
    """The weighted sum of `count` rows of pixels (H x W) from `top` on, from the column `left` on."""
    end = left + len(row)
    a = pixels[top, left:end]
    if count == 1:
        _first(row, a, weights[0])
        return
    b = pixels[top + 1, left:end]
    if count == 2:
        _first_2(row, a, b, weights[0], weights[1])
        return
    c = pixels[top + 2, left:end]
    if count == 3:
        _first_3(row, a, b, c, weights[0], weights[1], weights[2])
        return
    _first_4(row, a, b, c, pixels[top + 3, left:end], weights[0], weights[1], weights[2], weights[3])
    for k in range(4, count):
        _add(row, pixels[top + k, left:end], weights[k])


@fast
def _first(row: Array, a: Array, u: np.float32) -> None:
    for p in range(len(row)):
        row[p] = u * _F(a[p])


@fast
def _first_2(row: Array, a: Array, b: Array, u: np.float32, v: np.float32) -> None:
    for p in range(len(row)):
        row[p] = u * _F(a[p]) + v * _F(b[p])


@fast
def _first_3(row: Array, a: Array, b: Array, c: Array, u: np.float32, v: np.float32, w: np.float32) -> None:
    for p in range(len(row)):
        row[p] = u * _F(a[p]) + v * _F(b[p]) + w * _F(c[p])


@fast
def _first_4(
    row: Array, a: Array, b: Array, c: Array, d: Array, u: np.float32, v: np.float32, w: np.float32, x: np.float32
) -> None:
    for p in range(len(row)):
        row[p] = u * _F(a[p]) + v * _F(b[p]) + w * _F(c[p]) + x * _F(d[p])


@fast
def _add(row: Array, pixels: Array, weight: np.float32) -> None:
    for p in range(len(row)):
        row[p] += weight * _F(pixels[p])


@fast
def _along(r: Array, g: Array, b: Array, rows: Array, first: Array, count: Array, weights: Array) -> None:
    """One row of the view from rows 3 x W."""
    for p in range(len(r)):
        at = first[p]
        red, green, blue = _ZERO, _ZERO, _ZERO
        for k in range(count[p]):
            weight = weights[p, k]
            red += weight * rows[0, at]
            green += weight * rows[1, at]
            blue += weight * rows[2, at]
            at += _1
        r[p] = red
        g[p] = green
        b[p] = blue


@fast
def _along_threes(r: Array, g: Array, b: Array, row: Array, first: Array, count: Array, weights: Array) -> None:
    """One row of the view from a row of 3W values; four pixels of it at a time, since most views take up to four."""
    for p in range(len(r)):
        at = _3 * first[p]
        t, u, v, w = weights[p, 0], weights[p, 1], weights[p, 2], weights[p, 3]
        red = t * row[at] + u * row[at + _3] + v * row[at + _6] + w * row[at + _9]
        green = t * row[at + _1] + u * row[at + _4] + v * row[at + _7] + w * row[at + _10]
        blue = t * row[at + _2] + u * row[at + _5] + v * row[at + _8] + w * row[at + _11]
        for k in range(4, count[p]):
            at += _3
            weight = weights[p, k]
            red += weight * row[at + _9]
            green += weight * row[at + _10]
            blue += weight * row[at + _11]
        r[p] = red
        g[p] = green
        b[p] = blue


@fast
def _round(out: Array, x: Array) -> None:
    for p in range(len(out)):
        out[p] = np.uint8(np.int32(x[p] + _HALF))


@fast
def _triangles(
    start: float, length: float, extent: int, size: int, flip: bool, unit: np.float32
) -> tuple[Array, Array, Array]:
    """The antialiasing filter of each pixel of the view: its first source pixel, how many, and weights of sum `unit`.

    The box begins `start` pixels after the first of `extent` ones, and is `length` of them long. There are at least
    four weights, of which those beyond the count are zero.
    """
    step = length / size
    support = max(step, 1.0)
    first = np.empty(size, np.uint64)
    count = np.empty(size, np.int64)
    weights = np.zeros((size, int(2 * support) + 3), np.float32)
    for p in range(size):
        centre = start + ((size - 1 - p if flip else p) + 0.5) * step - 0.5
        begin = max(math.ceil(centre - support), 0)
        end = min(math.floor(centre + support), extent - 1)
        total = 0.0
        for k in range(begin, end + 1):
            total += max(1 - abs(k - centre) / support, 0.0)
        for k in range(begin, end + 1):
            weights[p, k - begin] = max(1 - abs(k - centre) / support, 0.0) / total * unit
        first[p], count[p] = _U(begin), end + 1 - begin
    return first, count, weights
