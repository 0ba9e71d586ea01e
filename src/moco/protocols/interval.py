"""How far a score may lie from what more images or more draws would give: 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

Interval = tuple[float, float]

CONFIDENCE = 0.95


def wilson(share: float, n: int) -> Interval:
    """Wilson's score interval (1927) of a share of n independent images; never leaves [0, 1]."""
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def t_interval(values: Sequence[float]) -> Interval | None:
    """Student's interval of the mean of independent draws; None for fewer than two."""
    half, mean = t_half(values), float(np.mean(values))
    return None if half is None else (mean - half, mean + half)


def t_half(values: Sequence[float]) -> float | None:
    """Half the width of `t_interval`."""
    if len(values) < 2:
        return None
    from scipy import stats  # takes a second

    return float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)) * _standard_error(values)


def normal_half(values: Sequence[float]) -> float:
    """Half the width of the normal interval of the mean of many independent values; of one, it has no end."""
    if len(values) < 2:
        return math.inf
    return NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * _standard_error(values)


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def wilson_words(n: int) -> str:
    """What `wilson` is, for a file or a table."""
    return f"95 % Wilson interval of a share of {n:,} judged images"


def t_words(draws: int) -> str:
    """What `t_interval` is, for a file or a table."""
    return f"95 % t interval of the mean of {draws} draws; the judged images are the same in all"
