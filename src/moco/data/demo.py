"""The data set that comes with the package: handwritten digits, each drawn eight times, no two alike.

1,797 digits of 8 x 8 pixels come with scikit-learn. As they are, their pixels tell them apart and there is nothing to
learn; placed, sized and turned at random on 32 x 32 pixels, a few labels no longer suffice for pixels, and do for
features. Held back are whole digits, so that no drawing of a digit that is judged has been learnt from.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from moco.data.pixels import to_rgb
from moco.data.source import Hints
from moco.errors import MocoError
from moco.ops.draw import permutation, stream, uniform

DRAWINGS = 8
"""Of each digit."""
SIDE = 32

_DIGITS = 1797
_PARTS = {
    "": slice(0, 1400),
    "train": slice(0, 1200),
    "validation": slice(1200, 1400),
    "test": slice(1400, _DIGITS),
}
"""Of the shuffled digits. `demo` is train and validation; choices are made on validation, and test is for the end."""
_MARGIN = 2
_FINER = 4


class Demo:
    """Handwritten digits, 32 x 32, white on black: `demo`, `demo:train`, `demo:validation` or `demo:test`."""

    hints = Hints(views="documents", steps=640)

    def __init__(self, part: str = "") -> None:
        if part not in _PARTS:
            raise MocoError(f"--data demo:{part}: the demo has demo, demo:train, demo:validation and demo:test")
        self.digits = permutation(_DIGITS, stream("demo"))[_PARTS[part]]
        self._written: tuple[NDArray[np.float64], NDArray[np.int64]] | None = None
        self._drawn: NDArray[np.uint8] | None = None
        what = f" ({part})" if part else ""
        self.description = f"demo{what}, {len(self):,} drawings of {len(self.digits):,} handwritten digits"

    def __len__(self) -> int:
        return DRAWINGS * len(self.digits)

    def name(self, i: int) -> str:
        """Which digit of scikit-learn's, and which drawing of it."""
        return f"digit-{self.digits[i // DRAWINGS]:04d}-drawing-{i % DRAWINGS}"

    def raw(self, i: int) -> NDArray[np.uint8]:
        """The drawing, 32 x 32 x 3."""
        return to_rgb(self._drawings()[i])

    def label(self, i: int) -> str:
        """The digit, "0" to "9"."""
        return str(self._digits()[1][i // DRAWINGS])

    def _digits(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The digits of this part, 8 x 8, ink 0 to 16, and which each is; loaded when first asked for."""
        if self._written is None:
            from sklearn.datasets import load_digits

            loaded = load_digits()
            self._written = loaded.images[self.digits], loaded.target[self.digits].astype(np.int64)
        return self._written

    def _drawings(self) -> NDArray[np.uint8]:
        """All drawings of this part, made when first asked for."""
        if self._drawn is None:
            digits = zip(self._digits()[0], self.digits.tolist(), strict=True)
            self._drawn = np.stack([draw(digit, index, k) for digit, index in digits for k in range(DRAWINGS)])
        return self._drawn


def draw(digit: NDArray[np.float64], index: int, drawing: int) -> NDArray[np.uint8]:
    """One drawing (32 x 32) of a digit (8 x 8, ink 0 to 16): half to full size, turned by up to 0.35 rad, anywhere."""
    size, angle, across, down = uniform(stream("demo"), index, drawing, np.arange(4)).tolist()
    size, angle = 0.5 + 0.5 * size, 0.35 * (2 * angle - 1)
    room = SIDE * (1 - size) / 2
    x, y = SIDE / 2 + room * (2 * across - 1), SIDE / 2 + room * (2 * down - 1)

    ink = Image.fromarray(np.pad(digit, _MARGIN).astype(np.float32) / 16)
    side = _FINER * ink.width
    ink = ink.resize((side, side), Image.Resampling.BICUBIC)
    scale = _FINER * digit.shape[0] / (SIDE * size)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    affine = (cos, sin, side / 2 - cos * x - sin * y, -sin, cos, side / 2 + sin * x - cos * y)
    drawn = np.asarray(ink.transform((SIDE, SIDE), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC))
    pixels: NDArray[np.uint8] = np.rint(np.clip(drawn, 0, 1) * 255).astype(np.uint8)
    return pixels
