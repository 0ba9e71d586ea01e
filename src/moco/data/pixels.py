"""Pixels of any depth and any number of channels, as H x W x 3 of 8 bits: the one form that the rest knows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_DEPTHS = (255, 4095, 65535)
"""The largest values of 8, 12 and 16 bits: what an instrument that writes 16-bit files may mean by white."""


def to_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """H x W, or H x W x 1, 2, 3 or 4 channels (grey, grey and opacity, RGB, RGBA) as H x W x 3, its own memory.

    Whatever is transparent becomes white, as it looks on a page: the colours stored under full transparency are
    leftovers (often black, under black drawings), which would show if they were just taken.
    """
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] in (2, 4):
        opacity = pixels[:, :, -1:].astype(np.uint32)
        over = pixels[:, :, :-1] * opacity + 255 * (255 - opacity)
        pixels = ((over + 127) // 255).astype(np.uint8)
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    return np.array(pixels, order="C")


def white_of(largest: int) -> int:
    """The value that stands for white in unsigned data whose largest value is this: full 8, 12 or 16 bits, or more.

    Microscopes and scanners write 12 bits into 16-bit files; taken as 16 bits these would be all but black.
    """
    return next((depth for depth in _DEPTHS if largest <= depth), largest)


def to_8_bits(values: NDArray[np.generic], black: float, white: float) -> NDArray[np.uint8]:
    """Values from black to white as 0 to 255, rounded: 16 bits are divided by 257, and nothing is cut off."""
    if white <= black:
        return np.zeros(values.shape, dtype=np.uint8)
    scaled = (values.astype(np.float64) - black) * (255.0 / (white - black))
    return np.rint(scaled).astype(np.uint8)


def deep_to_8_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """One image of whole or real numbers, by its own range; raises ValueError where a value is not finite.

    Real numbers within [0, 1] are shares of white. Other numbers from 0 on are of the depth (8, 12, 16 bits) that
    holds the largest, beyond which the largest is white. With negative ones, the smallest is black.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError("it holds values that are not finite")
    if low < 0:
        return to_8_bits(values, low, high)
    if values.dtype.kind == "f" and high <= 1:
        return to_8_bits(values, 0, 1)
    return to_8_bits(values, 0, max(high, white_of(int(np.ceil(high)))))


def averaged(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Averaged down to a width and height; band by band where they are no photograph."""
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    bands = [
        Image.fromarray(band.astype(np.float32)).resize(size, Image.Resampling.BOX)
        for band in pixels.transpose(2, 0, 1)
    ]
    small = np.stack([np.asarray(band) for band in bands], axis=2)
    return (small if pixels.dtype.kind == "f" else np.rint(small)).astype(pixels.dtype)
