"""`fused.develop` for any number of bands, each worked on by itself: no band knows of red, green and blue.

Its parts are those of `fused`: Numba looks at this file alone to see what has changed, so who changes them there
changes a line here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from moco.ops.compiled import Array, fast
from moco.ops.fused import PIECE, _blur, _scale, _solarize
from moco.ops.steps import BLUR, BRIGHTNESS, CONTRAST, SOLARIZE

_F: Any = np.float32
_ZERO: Any = _F(0)
_ONE: Any = _F(1)


@fast
def develop_bands(
    out: Array,
    pixels: Array,
    number: int,
    unit: Array,
    steps: Array,
    values: Array,
    counts: Array,
    radius: int,
    scale: Array,
    interleaved: bool,
) -> None:
    """Write view `number` of N images (N x V x C x S*S) into out (N x C*S*S), each band by itself.

    `unit` (2 x C: gain, offset) brings values into [0, 1], where they are clipped; then image i takes the first
    counts[i] of steps[i] with values[i] (brightness and contrast, blur, solarize; others do nothing); then `scale`
    (2 x C) is what `out` gets.
    """
    bands, total = pixels.shape[2], pixels.shape[3]
    side = int(math.sqrt(total) + 0.5)
    x = np.empty((bands, total), np.float32)
    tall = np.empty((side + 2 * radius) * side, np.float32)
    means = np.zeros(bands, np.float32)
    light = np.zeros(bands, np.float64)
    for i in range(len(pixels)):
        first, loaded = 0, False
        resolved = False  # whether `means` are those of the contrast which is to come first
        while True:
            last = first + 1 if resolved else first
            while last < counts[i] and steps[i, last] != CONTRAST and steps[i, last] != BLUR:
                last += 1
            ends = last == counts[i]
            wanted = not ends and steps[i, last] == CONTRAST
            light[:] = 0
            for start in range(0, total, PIECE):
                stop = min(start + PIECE, total)
                for c in range(bands):
                    part = x[c, start:stop]
                    if not loaded:
                        _load_clipped(part, pixels[i, number, c, start:stop], unit[0, c], unit[1, c])
                    for step in range(first, last):
                        _pointwise(part, steps[i, step], values[i, step], means[c])
                    if wanted:
                        light[c] += _sum(part)
                    if ends and interleaved and bands != 4:
                        _write_every(out[i, start * bands : stop * bands], c, bands, part, scale[0, c], scale[1, c])
                    elif ends and not interleaved:
                        _write_plane(out[i, c * total + start : c * total + stop], part, scale[0, c], scale[1, c])
                if ends and interleaved and bands == 4:
                    _write_fours(out[i, 4 * start : 4 * stop], x[:, start:stop], scale)
            loaded = True
            if ends:
                break
            if wanted:
                for c in range(bands):
                    means[c] = light[c] / total
                resolved, first = True, last
            else:
                _blur(x, tall, side, values[i, last], radius)
                resolved, first = False, last + 1


@fast
def _pointwise(x: Array, step: int, value: np.float32, mean: Any) -> None:
    if step == BRIGHTNESS:
        _scale(x, value, _ZERO)
    elif step == CONTRAST:
        _scale(x, value, (_ONE - value) * mean)
    elif step == SOLARIZE:
        _solarize(x)


@fast
def _sum(x: Array) -> Any:
    total = _ZERO
    for p in range(len(x)):
        total += x[p]
    return total


@fast
def _load_clipped(x: Array, pixels: Array, gain: np.float32, offset: np.float32) -> None:
    for p in range(len(x)):
        x[p] = min(max(_F(pixels[p]) * gain + offset, _ZERO), _ONE)


@fast
def _write_plane(out: Array, x: Array, gain: np.float32, offset: np.float32) -> None:
    for p in range(len(x)):
        out[p] = x[p] * gain + offset


@fast
def _write_every(out: Array, first: int, step: int, x: Array, gain: np.float32, offset: np.float32) -> None:
    for p in range(len(x)):
        out[step * p + first] = x[p] * gain + offset


@fast
def _write_fours(out: Array, x: Array, scale: Array) -> None:
    a, b, c, d = x[0], x[1], x[2], x[3]
    a_gain, b_gain, c_gain, d_gain = scale[0, 0], scale[0, 1], scale[0, 2], scale[0, 3]
    a_more, b_more, c_more, d_more = scale[1, 0], scale[1, 1], scale[1, 2], scale[1, 3]
    for p in range(len(a)):
        out[4 * p] = a[p] * a_gain + a_more
        out[4 * p + 1] = b[p] * b_gain + b_more
        out[4 * p + 2] = c[p] * c_gain + c_more
        out[4 * p + 3] = d[p] * d_gain + d_more
