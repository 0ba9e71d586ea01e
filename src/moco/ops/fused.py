"""Colours and blur on a CPU, compiled with Numba: a few passes through the caches instead of fifty through memory.

The twins are the tensor functions of `crop.py`, `colour.py` and `blur.py`, which run everywhere; these are equal to
them to 1e-5. An image is loaded once, worked on in pieces that stay in the first cache, and written once, normalised,
in the memory format that is asked for. Only the mean that contrast needs and the blur make further rounds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from moco.ops.compiled import Array, fast
from moco.ops.fused_crop import crop, crop_bands, cut, cut_bands
from moco.ops.steps import BLUR, BRIGHTNESS, CONTRAST, GRAY, HUE, SATURATION

__all__ = ["crop", "crop_bands", "cut", "cut_bands", "develop"]

PIECE = 512
"""Pixels that are worked on at a time: three channels of them fill a fifth of the first cache."""

ROWS = 8
"""Rows that are blurred at a time."""

_F: Any = np.float32
_HALF, _ONE, _TWO, _FOUR, _SIX, _TINY = _F(0.5), _F(1), _F(2), _F(4), _F(6), _F(1e-20)
_SIXTH, _EVEN, _FAR = _F(1 / 6), _F(8), _F(8.5)
_RED, _GREEN, _BLUE = _F(0.2989), _F(0.587), _F(0.114)
_ZERO: Any = _F(0)


@fast
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
    tall = np.empty((side + 2 * radius) * side, np.float32)
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
                _blur(x, tall, side, values[i, last], radius)
                resolved, first = False, last + 1


@fast
def _load(x: Array, pixels: Array, unit: np.float32) -> None:
    for p in range(len(x)):
        x[p] = _F(pixels[p]) * unit


@fast
def _write(out: Array, x: Array, gain: np.float32, offset: np.float32) -> None:
    for p in range(len(x)):
        out[p] = x[p] * gain + offset


@fast
def _write_interleaved(out: Array, r: Array, g: Array, b: Array, gain: Array, offset: Array) -> None:
    r_gain, g_gain, b_gain = gain[0], gain[1], gain[2]
    r_offset, g_offset, b_offset = offset[0], offset[1], offset[2]
    for p in range(len(r)):
        out[3 * p] = r[p] * r_gain + r_offset
        out[3 * p + 1] = g[p] * g_gain + g_offset
        out[3 * p + 2] = b[p] * b_gain + b_offset


@fast
def _light(r: Array, g: Array, b: Array) -> Any:
    total = _ZERO
    for p in range(len(r)):
        total += r[p] * _RED + g[p] * _GREEN + b[p] * _BLUE
    return total


@fast
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


@fast
def _scale(x: Array, factor: np.float32, rest: np.float32) -> None:
    for p in range(len(x)):
        x[p] = min(max(x[p] * factor + rest, _ZERO), _ONE)


@fast
def _solarize(x: Array) -> None:
    for p in range(len(x)):
        x[p] = _ONE - x[p] if x[p] >= _HALF else x[p]


@fast
def _saturate(r: Array, g: Array, b: Array, factor: np.float32) -> None:
    rest = _ONE - factor
    for p in range(len(r)):
        gray = rest * (r[p] * _RED + g[p] * _GREEN + b[p] * _BLUE)
        r[p] = min(max(r[p] * factor + gray, _ZERO), _ONE)
        g[p] = min(max(g[p] * factor + gray, _ZERO), _ONE)
        b[p] = min(max(b[p] * factor + gray, _ZERO), _ONE)


@fast
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


@fast
def _slope(away: Any) -> Any:
    """How far a channel is below the highest, from the distance in turns to the hue at which it is lowest."""
    away = abs(away - (_F(np.int32(away + _FAR)) - _EVEN))  # less the nearest whole number
    return min(max(_TWO - _SIX * away, _ZERO), _ONE)


@fast
def _blur(x: Array, tall: Array, side: int, sigma: np.float32, radius: int) -> None:
    """Down the columns, some rows at a time, and along each of these rows, back into x (channels x S*S).

    `tall` has room for a channel with the rows that are mirrored above and below it.
    """
    weights = np.zeros(max(radius, 6) + 1, np.float32)
    reach = _gaussian(weights, sigma, radius)
    taps = 2 if reach <= 2 else 4 if reach <= 4 else 6 if reach <= 6 else reach
    rows = np.empty(ROWS * side, np.float32)
    line = np.empty(side + 2 * taps, np.float32)
    for c in range(len(x)):
        _copy(tall[reach * side : (reach + side) * side], x[c])
        for k in range(1, reach + 1):
            above, below = (reach - k) * side, (reach + side - 1 + k) * side
            _copy(tall[above : above + side], x[c, k * side : (k + 1) * side])
            _copy(tall[below : below + side], x[c, (side - 1 - k) * side : (side - k) * side])
        for y in range(0, side, ROWS):
            some = rows[: min(ROWS, side - y) * side]
            _sum_down(some, tall, (y + reach) * side, side, weights, reach)
            for start in range(0, len(some), side):
                _copy(line[taps : taps + side], some[start : start + side])
                for k in range(1, taps + 1):  # beyond the reach weights are zero; the place need only be in the line
                    line[taps - k] = line[taps + min(k, side - 1)]
                    line[taps + side - 1 + k] = line[taps + side - 1 - min(k, side - 1)]
                _sum_along(x[c, y * side + start : y * side + start + side], line, weights, taps)


@fast
def _gaussian(weights: Array, sigma: np.float32, radius: int) -> int:
    """Half a Gaussian of 2 radius + 1 pixels, of sum 1; how far it reaches before nothing is left of it."""
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
    return reach


@fast
def _copy(out: Array, x: Array) -> None:
    for p in range(len(out)):
        out[p] = x[p]


@fast
def _sum_down(out: Array, tall: Array, at: int, side: int, weights: Array, reach: int) -> None:
    """Whole rows from `at` on, with those above and below: a long loop for two of them each way."""
    n = len(out)
    _scaled_copy(out, tall[at : at + n], weights[0])
    for k in range(1, reach, 2):
        up, down = at - k * side, at + k * side
        _add_four(
            out,
            tall[up : up + n],
            tall[down : down + n],
            tall[up - side : up - side + n],
            tall[down + side : down + side + n],
            weights[k],
            weights[k + 1],
        )
    if reach % 2:
        up, down = at - reach * side, at + reach * side
        _add_two(out, tall[up : up + n], tall[down : down + n], weights[reach])


@fast
def _scaled_copy(out: Array, x: Array, weight: np.float32) -> None:
    for p in range(len(out)):
        out[p] = x[p] * weight


@fast
def _add_two(out: Array, a: Array, b: Array, weight: np.float32) -> None:
    for p in range(len(out)):
        out[p] += weight * (a[p] + b[p])


@fast
def _add_four(out: Array, a: Array, b: Array, c: Array, d: Array, u: np.float32, v: np.float32) -> None:
    for p in range(len(out)):
        out[p] += u * (a[p] + b[p]) + v * (c[p] + d[p])


@fast
def _sum_along(out: Array, x: Array, w: Array, taps: int) -> None:
    """One row from a line that is `taps` longer at both ends; written out, so that it is read and written once."""
    if taps == 2:
        a, b, c = w[0], w[1], w[2]
        for p in range(len(out)):
            out[p] = a * x[p + 2] + b * (x[p + 1] + x[p + 3]) + c * (x[p] + x[p + 4])
    elif taps == 4:
        a, b, c, d, e = w[0], w[1], w[2], w[3], w[4]
        for p in range(len(out)):
            near = a * x[p + 4] + b * (x[p + 3] + x[p + 5]) + c * (x[p + 2] + x[p + 6])
            out[p] = near + d * (x[p + 1] + x[p + 7]) + e * (x[p] + x[p + 8])
    elif taps == 6:
        a, b, c, d, e, f, g = w[0], w[1], w[2], w[3], w[4], w[5], w[6]
        for p in range(len(out)):
            near = a * x[p + 6] + b * (x[p + 5] + x[p + 7]) + c * (x[p + 4] + x[p + 8]) + d * (x[p + 3] + x[p + 9])
            out[p] = near + e * (x[p + 2] + x[p + 10]) + f * (x[p + 1] + x[p + 11]) + g * (x[p] + x[p + 12])
    else:
        side = len(out)
        _scaled_copy(out, x[taps : taps + side], w[0])
        for k in range(1, taps + 1):
            _add_two(out, x[taps - k : taps - k + side], x[taps + k : taps + k + side], w[k])
