"""Images of any bands as pictures for a person: gray, or three bands in false colour, stretched."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.data.decode import decode
from moco.data.native import open_native
from moco.data.source import Source, Unreadable, native
from moco.recipe.pixels import Pixels

STRETCH = (1.0, 99.0)
"""Percentiles that become black and white."""


def shown_bands(channels: int) -> tuple[int, ...]:
    """Which channels stand for red, green and blue; one alone is shown in gray."""
    return (0,) if channels == 1 else (0, 1, min(2, channels - 1))


def shown_words(pixels: Pixels | None) -> str:
    """How images of these bands are shown, in a sentence; nothing for photographs and gray of 8 bits."""
    if pixels is None or pixels.colour == "rgb" or (pixels.kind == "uint8" and pixels.channels == 1):
        return ""
    how = f"stretched between its percentiles {STRETCH[0]:g} and {STRETCH[1]:g}"
    if pixels.channels == 1:
        return f"Pictures of images are in gray, each {how}."
    numbers = [str(pixels.bands[c]) for c in shown_bands(pixels.channels)][: pixels.channels]
    names = ("red", "green", "blue")[: len(numbers)]
    bands = ", ".join(f"band {number} as {name}" for number, name in zip(numbers, names, strict=True))
    return f"Pictures of images are in false colour: {bands}, each {how}."


def picture(values: NDArray[Any]) -> NDArray[np.uint8]:
    """uint8, H x W x 3, of H x W x C values, each shown channel between two percentiles of its own.

    Gray and colour of 8 bits stay as they are.
    """
    channels = values.shape[2]
    shown = values[..., list(shown_bands(channels))]
    if values.dtype != np.uint8 or channels not in (1, 3):
        shown = np.nan_to_num(shown.astype(np.float32))
        low, high = np.percentile(shown, STRETCH, axis=(0, 1)).astype(np.float32)
        shown = np.rint(np.clip((shown - low) / np.maximum(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)
    if channels == 2:
        shown[..., 2] = 0
    return shown.repeat(3, axis=2) if channels == 1 else np.ascontiguousarray(shown)


def picture_of(source: Source, i: int) -> NDArray[np.uint8]:
    """Image i as a photograph where it is one, else in false colour; raises Unreadable."""
    try:
        pixels = decode(source.raw(i))
    except Unreadable:
        raw = native(source, i)
        pixels = open_native(raw).values()
    return picture(pixels)
