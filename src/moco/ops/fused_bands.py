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
    x = np.empty((1, total), np.float32)
    tall = np.empty((side + 2 * radius) * side, np.float32)
    for i in range(len(pixels)):
        for c in range(bands):
            _load_clipped(x[0], pixels[i, number, c], unit[0, c], unit[1, c])
            for k in range(counts[i]):
                step, value = steps[i, k], values[i, k]
                if step == BRIGHTNESS:
                    _in_pieces(x[0], value, _ZERO)
                elif step == CONTRAST:
                    _in_pieces(x[0], value, (_ONE - value) * _mean(x[0]))
                elif step == SOLARIZE:
                    _solarize(x[0])
                elif step == BLUR:
                    _blur(x, tall, side, value, radius)
            if interleaved:
                _write_every(out[i], c, bands, x[0], scale[0, c], scale[1, c])
            else:
                _write_plane(out[i, c * total : (c + 1) * total], x[0], scale[0, c], scale[1, c])


@fast
def _load_clipped(x: Array, pixels: Array, gain: np.float32, offset: np.float32) -> None:
    for p in range(len(x)):
        x[p] = min(max(_F(pixels[p]) * gain + offset, _ZERO), _ONE)


@fast
def _in_pieces(x: Array, factor: np.float32, rest: Any) -> None:
    for start in range(0, len(x), PIECE):
        _scale(x[start : start + PIECE], factor, rest)


@fast
def _mean(x: Array) -> Any:
    total = 0.0
    for start in range(0, len(x), PIECE):
        part = _ZERO
        for p in range(start, min(start + PIECE, len(x))):
            part += x[p]
        total += part
    return _F(total / len(x))


@fast
def _write_plane(out: Array, x: Array, gain: np.float32, offset: np.float32) -> None:
    for p in range(len(x)):
        out[p] = x[p] * gain + offset


@fast
def _write_every(out: Array, first: int, step: int, x: Array, gain: np.float32, offset: np.float32) -> None:
    for p in range(len(x)):
        out[step * p + first] = x[p] * gain + offset
