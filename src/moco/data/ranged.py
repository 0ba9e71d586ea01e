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
    if rough.shown:
        most = Counter(one.curve for one in looks if one.curve).most_common(1)
        why = (
            "each by its own window, sigmoid or table, as asked" if asked else f"by {most[0][0]}, which they tell alike"
        )
        return replace(rough, black=(0.0,) * same, white=(1.0,) * same), why
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
        raise MocoError(f"--range {asked}: two numbers such as 0,4095; or percentile, image, window or shown") from None
    if not black < white:
        raise MocoError(f"--range {asked}: black comes first and is the smaller of the two")
    return black, white


def _window(asked: str | None, looks: Sequence[Facts]) -> tuple[tuple[float, float], str] | None:
    """(black, white) and why: the window that nearly all files tell alike; the middle one, where it is asked for."""
    told = [one.window for one in looks if one.window is not None]
    if asked == "window":
        if not told:
            shown = ", or shown (as their sigmoids or tables say)" if any(one.curve for one in looks) else ""
            raise MocoError(f"--range window: no file looked at tells a window; 0,4095, percentile or image{shown}")
        black, white = (float(v) for v in np.median(told, axis=0))
        return (black, white), f"the middle of the windows that {len(told)} of {len(looks)} files tell, as asked"
    alike = [one.window for one in looks if one.window is not None and not one.own_windows]
    most, count = Counter(alike).most_common(1)[0] if alike else (None, 0)
    if most is None or count < _ALIKE * len(looks):
        return None
    return most, "the window that the files tell"


def as_told(asked: str | None, looks: Sequence[Facts]) -> bool:
    """Whether each file is seen as it says to be shown: as asked, or where nearly all tell one sigmoid or table.

    Raises MocoError where it is asked for and none says how.
    """
    curves = Counter(one.curve for one in looks if one.curve and not one.own_windows)
    if asked == "shown" and not curves and all(one.window is None for one in looks):
        raise MocoError("--range shown: no file looked at says how to show it; 0,4095, percentile or image")
    if asked is not None:
        return asked == "shown"
    return bool(curves) and max(curves.values()) >= _ALIKE * len(looks) and _window(None, looks) is None


def other_windows(pixels: Pixels, looks: Sequence[Facts]) -> str:
    """What there is to say of windows that were told and not taken; empty where there is nothing."""
    told = {one.window for one in looks if one.window is not None and not one.own_windows}
    differ = sum(one.own_windows for one in looks)
    curves = {one.curve for one in looks if one.curve}
    taken = any(
        (black, white) == window for window in told for black, white in zip(pixels.black, pixels.white, strict=True)
    )
    if taken or pixels.own_range or pixels.shown or not (told or differ or curves):
        return ""
    words = [f"{len(told)} window{'s' * (len(told) > 1)}"] if told else []
    words += [f"windows of each frame's own in {differ} of them"] if differ else []
    words += [f"{len(curves)} sigmoid{'s' * (len(curves) > 1)} or table{'s' * (len(curves) > 1)}"] if curves else []
    middle = "--range window takes the middle one for all, " if told or differ else ""
    return (
        f"the files tell {' and '.join(words)} to show them by, which are not learnt from; "
        f"{middle}--range shown {'each' if middle else 'takes each'} file's own"
    )


def _words() -> str:
    return f"{PERCENTILES[0]} and {PERCENTILES[1]}"
