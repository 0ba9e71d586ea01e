"""Crops and colours on a CPU, compiled with Numba: a few passes through the caches instead of fifty through memory.

The twins are the tensor functions of `crop.py`, `colour.py` and `blur.py`, which run everywhere; these are equal to
them to 1e-5. An image is loaded once, worked on in pieces that stay in the first cache, and written once, normalised,
in the memory format that is asked for. Only the mean that contrast needs and the blur make further rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from moco.ops.steps import BLUR, BRIGHTNESS, CONTRAST, GRAY, HUE, SATURATION

PIECE = 512
"""Pixels that are worked on at a time: three channels of them fill a fifth of the first cache."""

_F: Any = np.float32
_HALF, _ONE, _TWO, _FOUR, _SIX, _TINY = _F(0.5), _F(1), _F(2), _F(4), _F(6), _F(1e-20)
_SIXTH, _EVEN, _FAR = _F(1 / 6), _F(8), _F(8.5)
_RED, _GREEN, _BLUE = _F(0.2989), _F(0.587), _F(0.114)
_ZERO: Any = _F(0)

Array = NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def _fast(function: Function) -> Function:
    flags = {"nnan", "nsz", "ninf", "contract", "reassoc"}
    compiled: Function = njit(cache=True, nogil=True, error_model="numpy", fastmath=flags)(function)
    return compiled


@_fast
def develop(
    out: Array,
    pixels: Array,
    number: int,
    unit: np.float32,
    steps: Array,
    values: Array,
    counts: Array,
    radius: int,
    gain: Array,
    offset: Array,
    interleaved: bool,
) -> None:
    """Write view `number` of N images (N x V x 3 x S*S, times `unit`) into out (N x 3*S*S), times gain plus offset.

    Before that, image i takes the first counts[i] of steps[i] with values[i] (a factor, a shift in turns, a sigma).
    `interleaved` writes channels last. The blur is a Gaussian of 2 radius + 1 pixels, mirrored at the edges.
    """
    total = pixels.shape[3]
    side = int(math.sqrt(total) + 0.5)
    x = np.empty((3, total), np.float32)
    spare = np.empty((3, total), np.float32)
    for i in range(len(pixels)):
        first, loaded, mean = 0, False, _ZERO
        resolved = False  # whether `mean` is that of the contrast which is to come first
        while True:
            last = first + 1 if resolved else first
            while last < counts[i] and steps[i, last] != CONTRAST and steps[i, last] != BLUR:
                last += 1
            ends = last == counts[i]
            wanted = not ends and steps[i, last] == CONTRAST
            light = 0.0
            for start in range(0, total, PIECE):
                stop = min(start + PIECE, total)
                r, g, b = x[0, start:stop], x[1, start:stop], x[2, start:stop]
                if not loaded:
                    _load(r, pixels[i, number, 0, start:stop], unit)
                    _load(g, pixels[i, number, 1, start:stop], unit)
                    _load(b, pixels[i, number, 2, start:stop], unit)
                for step in range(first, last):
                    _pointwise(r, g, b, steps[i, step], values[i, step], mean)
                if wanted:
                    light += _light(r, g, b)
                if ends and interleaved:
                    _write_interleaved(out[i, 3 * start : 3 * stop], r, g, b, gain, offset)
                elif ends:
                    _write(out[i, start:stop], r, gain[0], offset[0])
                    _write(out[i, total + start : total + stop], g, gain[1], offset[1])
                    _write(out[i, 2 * total + start : 2 * total + stop], b, gain[2], offset[2])
            loaded = True
            if ends:
                break
            if wanted:
                mean, resolved, first = _F(light / total), True, last
            else:
                _blur(x, spare, side, values[i, last], radius)
                resolved, first = False, last + 1


@_fast
def _load(x: Array, pixels: Array, unit: np.float32) -> None:
    for p in range(len(x)):
        x[p] = _F(pixels[p]) * unit


@_fast
def _write(out: Array, x: Array, gain: np.float32, offset: np.float32) -> None:
    for p in range(len(x)):
        out[p] = x[p] * gain + offset


@_fast
def _write_interleaved(out: Array, r: Array, g: Array, b: Array, gain: Array, offset: Array) -> None:
    r_gain, g_gain, b_gain = gain[0], gain[1], gain[2]
    r_offset, g_offset, b_offset = offset[0], offset[1], offset[2]
    for p in range(len(r)):
        out[3 * p] = r[p] * r_gain + r_offset
        out[3 * p + 1] = g[p] * g_gain + g_offset
        out[3 * p + 2] = b[p] * b_gain + b_offset


@_fast
def _light(r: Array, g: Array, b: Array) -> Any:
    total = _ZERO
    for p in range(len(r)):
        total += r[p] * _RED + g[p] * _GREEN + b[p] * _BLUE
    return total


@_fast
def _pointwise(r: Array, g: Array, b: Array, step: int, value: np.float32, mean: Any) -> None:
    if step == BRIGHTNESS:
        _scale(r, value, _ZERO)
        _scale(g, value, _ZERO)
        _scale(b, value, _ZERO)
    elif step == CONTRAST:
        rest = (_ONE - value) * mean
        _scale(r, value, rest)
        _scale(g, value, rest)
        _scale(b, value, rest)
    elif step == SATURATION:
        _saturate(r, g, b, value)
    elif step == HUE:
        _turn(r, g, b, value)
    elif step == GRAY:
        for p in range(len(r)):
            gray = r[p] * _RED + g[p] * _GREEN + b[p] * _BLUE
            r[p] = gray
            g[p] = gray
            b[p] = gray
    else:
        _solarize(r)
        _solarize(g)
        _solarize(b)


@_fast
def _scale(x: Array, factor: np.float32, rest: np.float32) -> None:
    for p in range(len(x)):
        x[p] = min(max(x[p] * factor + rest, _ZERO), _ONE)


@_fast
def _solarize(x: Array) -> None:
    for p in range(len(x)):
        x[p] = _ONE - x[p] if x[p] >= _HALF else x[p]


@_fast
def _saturate(r: Array, g: Array, b: Array, factor: np.float32) -> None:
    rest = _ONE - factor
    for p in range(len(r)):
        gray = rest * (r[p] * _RED + g[p] * _GREEN + b[p] * _BLUE)
        r[p] = min(max(r[p] * factor + gray, _ZERO), _ONE)
        g[p] = min(max(g[p] * factor + gray, _ZERO), _ONE)
        b[p] = min(max(b[p] * factor + gray, _ZERO), _ONE)


@_fast
def _turn(r: Array, g: Array, b: Array, shift: np.float32) -> None:
    """Move the hue on, as `colour._shift_hue` does: a channel, as a function of the hue, is a trapezoid."""
    for p in range(len(r)):
        red, green, blue = r[p], g[p], b[p]
        high = max(max(red, green), blue)
        span = high - min(min(red, green), blue)
        turned = (red - green) + _FOUR * span
        turned = (blue - red) + _TWO * span if high == green else turned
        turned = green - blue if high == red else turned
        hue = turned / (_SIX * (span + _TINY)) + shift
        r[p] = high - span * _slope(hue + _HALF)
        g[p] = high - span * _slope(hue + _SIXTH)
        b[p] = high - span * _slope(hue - _SIXTH)


@_fast
def _slope(away: Any) -> Any:
    """How far a channel is below the highest, from the distance in turns to the hue at which it is lowest."""
    away = abs(away - (_F(np.int32(away + _FAR)) - _EVEN))  # less the nearest whole number
    return min(max(_TWO - _SIX * away, _ZERO), _ONE)


@_fast
def _blur(x: Array, spare: Array, side: int, sigma: np.float32, radius: int) -> None:
    """Down the columns into `spare`, along the rows back into x."""
    weights = np.empty(radius + 1, np.float32)
    total = 0.0
    for k in range(radius + 1):
        weight = math.exp(-0.5 * (k / sigma) ** 2)
        weights[k] = weight
        total += weight if k == 0 else 2 * weight
    reach = 0
    for k in range(radius + 1):
        weights[k] /= total
        if weights[k] > 1e-8:
            reach = k
    line = np.empty(side + 2 * reach, np.float32)
    for c in range(3):
        for y in range(side):
            row = spare[c, y * side : (y + 1) * side]
            _scaled_copy(row, x[c, y * side : (y + 1) * side], weights[0])
            for k in range(1, reach + 1):
                up, down = _mirrored(y - k, side) * side, _mirrored(y + k, side) * side
                _add_both(row, x[c, up : up + side], x[c, down : down + side], weights[k])
        for y in range(side):
            row = x[c, y * side : (y + 1) * side]
            line[reach : reach + side] = spare[c, y * side : (y + 1) * side]
            for k in range(1, reach + 1):
                line[reach - k] = line[reach + k]
                line[reach + side - 1 + k] = line[reach + side - 1 - k]
            _scaled_copy(row, line[reach : reach + side], weights[0])
            for k in range(1, reach + 1):
                _add_both(row, line[reach - k : reach - k + side], line[reach + k : reach + k + side], weights[k])


@_fast
def _scaled_copy(out: Array, x: Array, weight: np.float32) -> None:
    for p in range(len(out)):
        out[p] = x[p] * weight


@_fast
def _add_both(out: Array, a: Array, b: Array, weight: np.float32) -> None:
    for p in range(len(out)):
        out[p] += weight * (a[p] + b[p])


@_fast
def _mirrored(y: int, side: int) -> int:
    if y < 0:
        return -y
    return 2 * (side - 1) - y if y >= side else y


@_fast
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
                row = rows[c, :width]
                for k in range(y_count[y]):
                    weight = y_weights[y, k]
                    source = pixels[i, c, top + y_first[y] + k, left : left + width]
                    if k == 0:
                        _load(row, source, weight)
                    else:
                        _add(row, source, weight)
            for p in range(size):
                begin = x_first[p]
                r, g, b = _ZERO, _ZERO, _ZERO
                for k in range(x_count[p]):
                    weight = x_weights[p, k]
                    r += weight * rows[0, begin + k]
                    g += weight * rows[1, begin + k]
                    b += weight * rows[2, begin + k]
                out[i, 0, y, p] = r
                out[i, 1, y, p] = g
                out[i, 2, y, p] = b


@_fast
def cut(out: Array, pixels: Array, box: Array, flip: bool, flip_vertical: bool) -> None:
    """The box (top, left, height, width, between pixels too) of H x W x 3, resized into uint8 3 x S x S and flipped."""
    size = out.shape[1]
    top, y_end = math.floor(box[0]), min(math.ceil(box[0] + box[2]), pixels.shape[0])
    left, x_end = math.floor(box[1]), min(math.ceil(box[1] + box[3]), pixels.shape[1])
    y_first, y_count, y_weights = _triangles(box[0] - top, box[2], y_end - top, size, flip_vertical, _ONE)
    x_first, x_count, x_weights = _triangles(box[1] - left, box[3], x_end - left, size, flip, _ONE)
    row = np.empty(3 * (x_end - left), np.float32)
    line = np.empty((3, size), np.float32)
    for y in range(size):
        for k in range(y_count[y]):
            source = pixels[top + y_first[y] + k, left:x_end].reshape(-1)
            if k == 0:
                _load(row, source, y_weights[y, k])
            else:
                _add(row, source, y_weights[y, k])
        for p in range(size):
            r, g, b = _ZERO, _ZERO, _ZERO
            for k in range(x_count[p]):
                weight, at = x_weights[p, k], 3 * (x_first[p] + k)
                r += weight * row[at]
                g += weight * row[at + 1]
                b += weight * row[at + 2]
            line[0, p] = r
            line[1, p] = g
            line[2, p] = b
        for c in range(3):
            _round(out[c, y], line[c])


@_fast
def _round(out: Array, x: Array) -> None:
    for p in range(len(out)):
        out[p] = np.uint8(np.int32(x[p] + _HALF))


@_fast
def _add(out: Array, pixels: Array, weight: np.float32) -> None:
    for p in range(len(out)):
        out[p] += weight * _F(pixels[p])


@_fast
def _triangles(
    start: float, length: float, extent: int, size: int, flip: bool, unit: np.float32
) -> tuple[Array, Array, Array]:
    """The antialiasing filter of each pixel of the view: its first source pixel, how many, and weights of sum `unit`.

    The box begins `start` pixels after the first of `extent` ones, and is `length` of them long.
    """
    step = length / size
    support = max(step, 1.0)
    first = np.empty(size, np.int64)
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
        first[p], count[p] = begin, end + 1 - begin
    return first, count, weights
