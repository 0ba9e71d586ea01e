"""What a person is told of what images are made of."""

from __future__ import annotations

from collections.abc import Sequence

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
    if windows := other_windows(pixels, looks):
        lines.append(windows)
    return lines


def _range(pixels: Pixels) -> str:
    """The range of one channel, or the widest of several, for a person."""
    if pixels.own_range:
        return "each image's own"
    if pixels.shown:
        return "as the files say to show them"
    if len({*zip(pixels.black, pixels.white, strict=True)}) == 1:
        return f"{pixels.black[0]:,g} to {pixels.white[0]:,g}"
    return f"from {min(pixels.black):,g} and up to {max(pixels.white):,g}, each band its own"
