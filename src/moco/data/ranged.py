"""Which value is black and which is white in all images of a data set: as asked, as told, or as measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moco.data.measure import PERCENTILES, Measured
from moco.data.values import Facts
from moco.errors import MocoError
from moco.recipe.pixels import Pixels

FULL = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "int16": (-32768.0, 32767.0), "float32": (0.0, 1.0)}
"""What each type can hold; of real numbers, what they are where they are shares."""

_BITS = (8, 10, 12, 14, 16)
_FILLED = 1 / 8
"""Share of the depth that 99.9 % of values must reach for it to be the range; else percentiles are."""

_ALIKE = 0.9
"""Share of the files looked at that must tell the same window for it to be that of all images."""


def ranged(rough: Pixels, found: Measured, asked: str | None, looks: Sequence[Facts]) -> tuple[Pixels, str]:
    """With black and white, and why these; raises MocoError for a range that is none."""
    low, high = found.percentiles
    same = rough.channels
    if asked == "image":
        black, white = FULL[rough.kind]
        whole = replace(rough, black=(black,) * same, white=(white,) * same, own_range=True)
        return whole, "each image from its own darkest to its own brightest value, as asked"
    if asked == "percentile":
        return replace(rough, black=low, white=high), f"percentiles {_words()} of each band, as asked"
    if asked is not None and asked != "window":
        black, white = _numbers(asked)
        return replace(rough, black=(black,) * same, white=(white,) * same), "as asked"
    if (told := _window(asked, looks)) is not None:
        (black, white), why = told
        return replace(rough, black=(black,) * same, white=(white,) * same), why
    if rough.kind == "uint8":
        return rough, "8 bits"
    if rough.kind == "uint16":
        whites = {one.white for one in looks if one.type == "uint16"}
        if len(whites) == 1 and (own := whites.pop()) is not None and found.most <= own:
            return replace(rough, white=(own,) * same), "as many bits as the files say are used"
        bits = next(b for b in _BITS if found.most < 2**b)
        white = float(2**bits - 1)
        if max(high) >= white * _FILLED:
            return replace(rough, white=(white,) * same), f"the {bits} bits that are used"
    elif rough.kind == "float32" and found.least >= 0 and found.most <= 1:
        return replace(rough, black=(0.0,) * same, white=(1.0,) * same), "as they are"
    return replace(rough, black=low, white=high), f"percentiles {_words()} of each band"


def _numbers(asked: str) -> tuple[float, float]:
    try:
        black, white = (float(word) for word in asked.split(","))
    except ValueError:
        raise MocoError(f"--range {asked}: two numbers such as 0,4095; or percentile, image or window") from None
    if not black < white:
        raise MocoError(f"--range {asked}: black comes first and is the smaller of the two")
    return black, white


def _window(asked: str | None, looks: Sequence[Facts]) -> tuple[tuple[float, float], str] | None:
    """(black, white) and why: the window that nearly all files tell alike; the middle one, where it is asked for."""
    told = [one.window for one in looks if one.window is not None]
    if asked == "window":
        if not told:
            raise MocoError("--range window: no file looked at tells a window; 0,4095, percentile or image")
        black, white = (float(v) for v in np.median(told, axis=0))
        return (black, white), f"the middle of the windows that {len(told)} of {len(looks)} files tell, as asked"
    most, count = Counter(told).most_common(1)[0] if told else (None, 0)
    if most is None or count < _ALIKE * len(looks):
        return None
    return most, "the window that the files tell"


def other_windows(pixels: Pixels, looks: Sequence[Facts]) -> str:
    """What there is to say of windows that were told and not taken; empty where there is nothing."""
    told = {one.window for one in looks if one.window is not None}
    taken = any(
        (black, white) == window for window in told for black, white in zip(pixels.black, pixels.white, strict=True)
    )
    if not told or taken or pixels.own_range:
        return ""
    return (
        f"the files tell {len(told)} window{'s' * (len(told) > 1)} to show them by, which are not learnt from; "
        "--range window takes the middle one for all"
    )


def _words() -> str:
    return f"{PERCENTILES[0]} and {PERCENTILES[1]}"
