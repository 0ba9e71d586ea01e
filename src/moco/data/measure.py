"""What the values of a data set are, from a sample of its images: how large, how many are none, of which mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moco.data.seen import invalid
from moco.data.values import Values

PER_IMAGE = 1 << 14
"""Pixels of an image that percentiles and means are taken from, evenly spread."""

PERCENTILES = (0.1, 99.9)


@dataclass(frozen=True)
class Measured:
    """Some values of each channel, and what all values of the sample were like."""

    values: NDArray[np.float32]
    """P x C; not a number where nothing was measured."""
    least: float
    most: float
    """Over all values that were measured."""
    missing: float
    """Share of values where nothing was measured."""

    @property
    def percentiles(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """For each channel, the values below and above which one in a thousand lies."""
        low, high = np.nan_to_num(np.nanpercentile(self.values, PERCENTILES, axis=0)).astype(np.float32)
        high = np.where(high > low, high, low + 1)
        return tuple(low.tolist()), tuple(high.tolist())

    def moments(self, gain: tuple[float, ...], offset: tuple[float, ...]) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, of values times gain plus offset, clipped to [0, 1]."""
        with np.errstate(invalid="ignore"):
            unit = np.clip(self.values * np.asarray(gain, np.float32) + np.asarray(offset, np.float32), 0, 1)
        unit = np.nan_to_num(unit)  # what is missing is black
        mean, std = unit.mean(axis=0, dtype=np.float64), unit.std(axis=0, dtype=np.float64)
        return [round(float(m), 4) for m in mean], [round(max(float(s), 1 / 255), 4) for s in std]


def measure(images: list[Values], no_data: float | None) -> Measured:
    """What images H x W x C, of one number of channels and one type, are like."""
    some, missing, total = [], 0, 0
    least, most = np.inf, -np.inf
    for image in images:
        bad = invalid(image, no_data)
        good = image if bad is None else image[~bad]
        if good.size:
            least, most = min(least, float(good.min())), max(most, float(good.max()))
        missing += 0 if bad is None else int(bad.sum())
        total += image.size
        flat = image.reshape(-1, image.shape[2])
        stride = max(1, len(flat) // PER_IMAGE)
        part = flat[::stride].astype(np.float32)
        if bad is not None:
            part[bad.reshape(flat.shape)[::stride]] = np.nan
        some.append(part)
    if least > most:
        least, most = 0.0, 1.0
    return Measured(np.concatenate(some), least, most, missing / max(1, total))
