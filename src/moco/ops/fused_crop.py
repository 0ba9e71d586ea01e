"""Crops on a CPU, compiled: down the columns into one row at a time, along that row into the view.

Places in a row are counted in unsigned numbers: with signed ones each look at a pixel would ask whether it is meant
from the end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from moco.ops.compiled import Array, fast
from moco.ops.four import sum_of_fours, sum_of_rows

_F: Any = np.float32
_HALF, _ONE = _F(0.5), _F(1)
_ZERO: Any = _F(0)
_U: Any = np.uint64
_1, _2, _3 = _U(1), _U(2), _U(3)
_LEAST: Any = _F(32768.5)


@fast
def crop(out: Array, pixels: Array, boxes: Array, flip: Array, flip_vertical: Array) -> None:
    """Each box of uint8 N x 3 x H x W, resized into float32 N x 3 x S x S in [0, 1] and flipped where asked for."""
    size = out.shape[2]
    widest = boxes[:, 3].max()
    rows = np.empty((3, widest), np.float32)
    tall, wide = pixels.shape[2], pixels.shape[3]
    for i in range(len(pixels)):
        top, left, height, width = boxes[i]
        y_first, y_count, y_weights = _triangles(0.0, height, height, size, flip_vertical[i], _F(1 / 255))
        x_first, x_count, x_weights = _triangles(0.0, width, width, size, flip[i], _ONE)
        for y in range(size):
            for c in range(3):
                at = ((3 * i + c) * tall + top + y_first[y]) * wide + left
                _down(rows, c * widest, width, pixels, at, wide, y_weights, y, y_count[y])
            _along(out[i, 0, y], out[i, 1, y], out[i, 2, y], rows, x_first, x_count, x_weights)


@fast
def crop_bands(out: Array, pixels: Array, boxes: Array, flip: Array, flip_vertical: Array) -> None:
    """Each box (between pixels too) of N x C x H x W of any type, resized into float32 N x C x S x S and flipped."""
    size, bands = out.shape[2], out.shape[1]
    widest = math.ceil(boxes[:, 3].max()) + 2
    rows = np.empty((bands, widest), np.float32)
    tall, wide = pixels.shape[2], pixels.shape[3]
    for i in range(len(pixels)):
        top, y_end = math.floor(boxes[i, 0]), min(math.ceil(boxes[i, 0] + boxes[i, 2]), pixels.shape[2])
        left, x_end = math.floor(boxes[i, 1]), min(math.ceil(boxes[i, 1] + boxes[i, 3]), pixels.shape[3])
        width = x_end - left
        y_first, y_count, y_weights = _triangles(
            boxes[i, 0] - top, boxes[i, 2], y_end - top, size, flip_vertical[i], _ONE
        )
        x_first, x_count, x_weights = _triangles(boxes[i, 1] - left, boxes[i, 3], width, size, flip[i], _ONE)
        for y in range(size):
            for c in range(bands):
                at = ((bands * i + c) * tall + top + y_first[y]) * wide + left
                _down(rows, c * widest, width, pixels, at, wide, y_weights, y, y_count[y])
            c = 0
            while c + 4 <= bands:
                _along_four(out[i], c, y, rows, x_first, x_count, x_weights)
                c += 4
            while c + 3 <= bands:
                _along(out[i, c, y], out[i, c + 1, y], out[i, c + 2, y], rows[c:], x_first, x_count, x_weights)
                c += 3
            while c < bands:
                _along_one(out[i, c, y], rows[c], x_first, x_count, x_weights)
                c += 1


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
    row = np.zeros(3 * (x_end - left) + 19, np.float32)  # with what weights of zero, and a fourth channel, reach
    line = np.zeros(4 * size, np.float32)
    rounded = np.empty(4 * size, np.uint8)
    most, wide, width = x_count.max(), pixels.shape[1], 3 * (x_end - left)
    for y in range(size):
        at = (top + y_first[y]) * wide + 3 * left
        _down(row, 0, width, pixels, at, wide, y_weights, y, y_count[y])
        _along_threes(line, row, x_first, x_count, x_weights, most)
        _round(out[0, y], out[1, y], out[2, y], rounded, line)


@fast
def cut_bands(out: Array, pixels: Array, box: Array, flip: bool, flip_vertical: bool, whole: bool) -> None:
    """`cut` of H x CW values of any type into C x S x S of the same type; where it is of whole numbers, rounded."""
    size, bands = out.shape[1], out.shape[0]
    top, y_end = math.floor(box[0]), min(math.ceil(box[0] + box[2]), pixels.shape[0])
    left, x_end = math.floor(box[1]), min(math.ceil(box[1] + box[3]), pixels.shape[1] // bands)
    y_first, y_count, y_weights = _triangles(box[0] - top, box[2], y_end - top, size, flip_vertical, _ONE)
    x_first, x_count, x_weights = _triangles(box[1] - left, box[3], x_end - left, size, flip, _ONE)
    row = np.zeros(max(bands, 4) * (x_end - left + 6) + 4, np.float32)  # with what weights of zero reach
    line = np.zeros(4 * size, np.float32)
    rounded, rows = np.empty(4 * size, out.dtype), out.reshape(bands * size, size)
    most, wide, width = x_count.max(), pixels.shape[1], bands * (x_end - left)
    if bands == 1:  # four rows of the view lie beside each other as bands do: a fourth of the looks at weights
        alone = np.zeros(4 * width, np.float32)
        for y in range(0, size, 4):
            for k in range(min(4, size - y)):
                at = (top + y_first[y + k]) * wide + left
                _down(alone, k * width, width, pixels, at, wide, y_weights, y + k, y_count[y + k])
            _beside(row, alone, width)
            _along_fours(line, row, 0, 4, x_first, x_count, x_weights, most)
            _store(rows, y, 1, min(4, size - y), rounded, line, whole)
        return
    for y in range(size):
        at = (top + y_first[y]) * wide + bands * left
        _down(row, 0, width, pixels, at, wide, y_weights, y, y_count[y])
        for c in range(0, bands, 4):
            _along_fours(line, row, c, bands, x_first, x_count, x_weights, most)
            _store(rows, c * size + y, size, min(4, bands - c), rounded, line, whole)


@fast
def _beside(row: Array, rows: Array, width: int) -> None:
    for p in range(width):
        row[4 * p] = rows[p]
        row[4 * p + 1] = rows[width + p]
        row[4 * p + 2] = rows[2 * width + p]
        row[4 * p + 3] = rows[3 * width + p]


@fast
def _store(out: Array, first: int, step: int, number: int, rounded: Array, x: Array, whole: bool) -> None:
    """Up to four rows of `out`, from `first` on each `step` further, from fours of numbers; where `whole`, rounded.

    First all to the type of `out`, then apart: what lies beside each other is quicker to round.
    """
    if whole:
        for p in range(len(x)):
            rounded[p] = np.int32(x[p] + _LEAST) - 32768
    else:
        for p in range(len(x)):
            rounded[p] = x[p]
    a, b, c, d = first, first + step, first + 2 * step, first + 3 * step
    if number == 4:
        for p in range(out.shape[1]):
            out[a, p] = rounded[4 * p]
            out[b, p] = rounded[4 * p + 1]
            out[c, p] = rounded[4 * p + 2]
            out[d, p] = rounded[4 * p + 3]
    else:
        for k in range(number):
            for p in range(out.shape[1]):
                out[first + k * step, p] = rounded[4 * p + k]


@fast
def _along_fours(
    out: Array, row: Array, band: int, bands: int, first: Array, count: Array, weights: Array, most: int
) -> None:
    """One row of four bands of the view, four values a pixel, of rows whose bands lie beside each other."""
    each = weights.shape[1]
    for p in range(len(first)):
        if most <= 3:
            sum_of_fours(out, 4 * p, row, bands * first[p] + band, weights, p * each, 3, bands)
        elif most == 4:
            sum_of_fours(out, 4 * p, row, bands * first[p] + band, weights, p * each, 4, bands)
        elif most <= 6:
            sum_of_fours(out, 4 * p, row, bands * first[p] + band, weights, p * each, 6, bands)
        else:
            at = bands * first[p] + band
            a, b, c, d = _ZERO, _ZERO, _ZERO, _ZERO
            for k in range(count[p]):
                weight = weights[p, k]
                a += weight * row[at]
                b += weight * row[at + 1]
                c += weight * row[at + 2]
                d += weight * row[at + 3]
                at += bands
            out[4 * p], out[4 * p + 1], out[4 * p + 2], out[4 * p + 3] = a, b, c, d


@fast
def _down(rows: Array, to: int, width: int, pixels: Array, at: int, step: int, weights: Array, y: int, n: int) -> None:
    """Into `width` places of `rows` from `to` on: the sum of n rows of pixels, of weights[y].

    The first of these begins at the place `at` of all pixels, each other one `step` further. No part of an array is
    made here: to count who holds it takes longer than a short row.
    """
    first, whole, tail = y * weights.shape[1], width - width % 8, width - 8
    if width < 8:
        for p in range(width):
            sum_of_rows(rows, to + p, pixels, at + p, step, weights, first, n, 1)
    elif n == 1:
        for p in range(0, whole, 8):
            sum_of_rows(rows, to + p, pixels, at + p, step, weights, first, 1, 8)
        sum_of_rows(rows, to + tail, pixels, at + tail, step, weights, first, 1, 8)
    elif n == 2:
        for p in range(0, whole, 8):
            sum_of_rows(rows, to + p, pixels, at + p, step, weights, first, 2, 8)
        sum_of_rows(rows, to + tail, pixels, at + tail, step, weights, first, 2, 8)
    elif n == 3:
        for p in range(0, whole, 8):
            sum_of_rows(rows, to + p, pixels, at + p, step, weights, first, 3, 8)
        sum_of_rows(rows, to + tail, pixels, at + tail, step, weights, first, 3, 8)
    elif n == 4:
        for p in range(0, whole, 8):
            sum_of_rows(rows, to + p, pixels, at + p, step, weights, first, 4, 8)
        sum_of_rows(rows, to + tail, pixels, at + tail, step, weights, first, 4, 8)
    else:
        for p in range(0, whole, 8):
            sum_of_rows(rows, to + p, pixels, at + p, step, weights, first, n, 8)
        sum_of_rows(rows, to + tail, pixels, at + tail, step, weights, first, n, 8)


@fast
def _along(r: Array, g: Array, b: Array, rows: Array, first: Array, count: Array, weights: Array) -> None:
    """One row of the view from rows 3 x W."""
    for p in range(len(r)):
        at = _U(first[p])
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
def _along_four(out: Array, c: int, y: int, rows: Array, first: Array, count: Array, weights: Array) -> None:
    """Row y of four bands of the view, from c on: each weight is fetched once for all four."""
    one, two, three, four = out[c, y], out[c + 1, y], out[c + 2, y], out[c + 3, y]
    row_1, row_2, row_3, row_4 = rows[c], rows[c + 1], rows[c + 2], rows[c + 3]
    for p in range(len(one)):
        at = _U(first[p])
        a, b, e, d = _ZERO, _ZERO, _ZERO, _ZERO
        for k in range(count[p]):
            weight = weights[p, k]
            a += weight * row_1[at]
            b += weight * row_2[at]
            e += weight * row_3[at]
            d += weight * row_4[at]
            at += _1
        one[p] = a
        two[p] = b
        three[p] = e
        four[p] = d


@fast
def _along_one(out: Array, row: Array, first: Array, count: Array, weights: Array) -> None:
    """One row of one band of the view."""
    for p in range(len(out)):
        at = _U(first[p])
        total = _ZERO
        for k in range(count[p]):
            total += weights[p, k] * row[at]
            at += _1
        out[p] = total


@fast
def _along_threes(out: Array, row: Array, first: Array, count: Array, weights: Array, most: int) -> None:
    """One row of the view, four values a pixel, the last without meaning, from a row of 3W values.

    No pixel takes more than `most`; up to six, with weights of zero among them, need no loop.
    """
    each = weights.shape[1]
    for p in range(len(first)):
        if most <= 3:
            sum_of_fours(out, 4 * p, row, 3 * first[p], weights, p * each, 3, 3)
        elif most == 4:
            sum_of_fours(out, 4 * p, row, 3 * first[p], weights, p * each, 4, 3)
        elif most <= 6:
            sum_of_fours(out, 4 * p, row, 3 * first[p], weights, p * each, 6, 3)
        else:
            at = _3 * _U(first[p])
            red, green, blue = _ZERO, _ZERO, _ZERO
            for k in range(count[p]):
                red += weights[p, k] * row[at]
                green += weights[p, k] * row[at + _1]
                blue += weights[p, k] * row[at + _2]
                at += _3
            out[4 * p], out[4 * p + 1], out[4 * p + 2] = red, green, blue


@fast
def _round(r: Array, g: Array, b: Array, bytes_: Array, x: Array) -> None:
    """x to whole numbers, then apart: bytes are quicker to take apart."""
    for p in range(len(x)):
        bytes_[p] = np.uint8(np.int32(x[p] + _HALF))
    for p in range(len(r)):
        r[p] = bytes_[4 * p]
        g[p] = bytes_[4 * p + 1]
        b[p] = bytes_[4 * p + 2]


@fast
def _triangles(
    start: float, length: float, extent: int, size: int, flip: bool, unit: np.float32
) -> tuple[Array, Array, Array]:
    """The antialiasing filter of each pixel of the view: its first source pixel, how many, and weights of sum `unit`.

    The box begins `start` pixels after the first of `extent` ones, and is `length` of them long. Weights beyond
    the count are zero, and there are at least six of them in all.
    """
    step = length / size
    support = max(step, 1.0)
    first = np.empty(size, np.int64)
    count = np.empty(size, np.int64)
    weights = np.zeros((size, max(int(2 * support) + 3, 6)), np.float32)
    slope = 1 / support
    for p in range(size):
        centre = start + ((size - 1 - p if flip else p) + 0.5) * step - 0.5
        begin = max(math.ceil(centre - support), 0)
        end = min(math.floor(centre + support), extent - 1)
        total = 0.0
        for k in range(begin, end + 1):
            weight = max(1 - abs(k - centre) * slope, 0.0)
            weights[p, k - begin] = weight
            total += weight
        share = _F(unit / total)
        for k in range(end + 1 - begin):
            weights[p, k] *= share
        first[p], count[p] = begin, end + 1 - begin
    return first, count, weights
