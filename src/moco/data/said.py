"""What a person is told of what images are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moco.data.measure import Measured
from moco.data.ranged import other_windows
from moco.data.values import Facts
from moco.recipe.pixels import Pixels

_TYPES = {"uint8": "8 bits", "uint16": "16 bits", "int16": "16 bits with a sign", "float32": "real numbers"}


def in_words(pixels: Pixels | None) -> str:
    """Channels, type and range: "4 channels (bands 0 to 3 of 4) of 16 bits; black to white: 0 to 4,095"."""
    if pixels is None:
        return "photographs: three channels (red, green, blue) of 8 bits"
    match pixels.colour:
        case "bands" if pixels.of == 1:
            what = "one channel (the images are gray)"
        case "bands":
            shown = ", ".join(map(str, pixels.bands)) if len(pixels.bands) != pixels.of else f"0 to {pixels.of - 1}"
            what = f"{pixels.channels} channel{'s' * (pixels.channels > 1)} (bands {shown} of {pixels.of})"
        case "gray" if len(pixels.bands) == pixels.of > 1:
            what = f"one channel (the mean of all {pixels.of} bands)"
        case "gray" if len(pixels.bands) > 1:
            what = f"one channel (the mean of red, green and blue, the first of {pixels.of} bands)"
        case "gray":
            what = "one channel (the mean of the colours)"
        case _ if pixels.of > 3:
            what = f"three channels (red, green, blue, the first of {pixels.of} bands)"
        case _:
            what = "three channels (red, green, blue)"
    return f"{what} of {_TYPES[pixels.kind]}; black to white: {_range(pixels)}"


def said(pixels: Pixels, why: str, found: Measured, looks: Sequence[Facts]) -> list[str]:
    """Channels, range and why this one, what is missing, what differs."""
    lines = [f"{in_words(pixels)} ({why}); --bands, --range change this"]
    if found.missing:
        value = "not a number" if pixels.no_data is None else f"no data ({pixels.no_data:g}) or not a number"
        lines.append(f"{max(found.missing, 1e-4):.2%} of the values looked at are {value}: they become black")
    if pixels.no_data is None and (apart := _apart(found)):
        value, share = apart
        lines.append(
            f"{max(share, 1e-4):.2%} of the values looked at are {value}, far from all others: if nothing was measured "
            f"there, say --no-data {value}"
        )
    if windows := other_windows(pixels, looks):
        lines.append(windows)
    return lines


def _apart(found: Measured) -> tuple[str, float] | None:
    """A value of at least one in a thousand, further from all others than these are from each other; and its share."""
    values = found.values[np.isfinite(found.values)]
    for end in (values.min, values.max) if values.size else ():
        value = end()
        same = values == value
        others = values[~same].astype(np.float64)  # the largest number of 32 bits may stand for nothing
        share = float(same.mean())
        if not value or share < 1 / 1000 or not others.size:  # zero is mostly black by right
            continue
        low, high = others.min(), others.max()
        if min(abs(value - low), abs(value - high)) > high - low > 0:
            return _exactly(value), share
    return None


def _exactly(value: np.float32) -> str:
    """As short as it can be typed and still be the same number."""
    short = f"{value:g}"
    return short if np.float32(short) == value else str(value)


def _range(pixels: Pixels) -> str:
    """The range of one channel, or the widest of several, for a person."""
    if pixels.own_range:
        return "each image's own"
    if pixels.shown:
        return "as the files say to show them"
    if len({*zip(pixels.black, pixels.white, strict=True)}) == 1:
        return f"{pixels.black[0]:,g} to {pixels.white[0]:,g}"
    return f"from {min(pixels.black):,g} and up to {max(pixels.white):,g}, each band its own"
