"""Is one encoder better than another, judged on the same images after learning from the same draws of labels?

What counts is the difference image by image and draw by draw: luck that both have in common drops out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moco.evaluate.interval import CONFIDENCE, normal_half, t_half
from moco.evaluate.labels import Amount

Hits = NDArray[np.bool_]
"""Which images were judged rightly: draws x N."""


@dataclass(frozen=True)
class Difference:
    """Mean difference of two accuracies, and half the width of its 95 % interval; shares."""

    mean: float
    half: float

    @property
    def verdict(self) -> int:
        """1: above, -1: below, 0: the interval holds zero."""
        return int(self.mean > self.half) - int(self.mean < -self.half)

    def points(self, unsigned: bool) -> str:
        """In percent with the interval; `unsigned` where words beside it say which is above."""
        mean, low, high = (100 * (self.mean + side * self.half) for side in (0, -1, 1))
        if unsigned:
            low, high = sorted((abs(low), abs(high)))
            return f"{abs(mean):.1f} ({low:.1f} to {high:.1f})"
        return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def difference(a: Hits, b: Hits) -> Difference | None:
    """How far a lies above b; None for a single draw, which says nothing about the spread.

    The interval is Student's over the draws and the normal one over the images, added as variances: other labels would
    have given another difference, and so would other images to judge.
    """
    gap = a.astype(np.float64) - b
    draws = t_half(gap.mean(axis=1).tolist())
    if draws is None:
        return None
    return Difference(float(gap.mean()), math.hypot(draws, normal_half(gap.mean(axis=0).tolist())))


def verdict(amounts: Sequence[Amount], hits: Mapping[str, Sequence[Hits]], free: Sequence[str], how: str) -> str:
    """Did pretraining pay? In plain words, for the first of the contenders whose `hits` these are, one an amount.

    For each amount it is put against the best of those in `free`, which were not pretrained; then against each other.
    `how` says how they learnt from the labels: "frozen features".
    """
    first, *others = hits
    groups: dict[tuple[int, str], list[str]] = {}
    for other in [None, *(name for name in others if name not in free)]:
        for i, amount in enumerate(amounts):
            name = other or _best({name: hits[name][i] for name in others if name in free})
            if name is None:
                continue
            if (found := difference(hits[first][i], hits[name][i])) is None:
                return "one draw says nothing about the spread, so whether pretraining paid is open: give --few-draws 5"
            kind = found.verdict if other is None else _COMPARED
            groups.setdefault((kind, name), []).append(f"{found.points(kind in (1, -1))} with {amount.words}")
    told = [_VERDICTS[kind].format(how, first, name, ", ".join(groups[kind, name])) for kind, name in _ordered(groups)]
    return ". ".join(told)


def _best(hits: Mapping[str, Hits]) -> str | None:
    return max(hits, key=lambda name: hits[name].mean(), default=None)


def _ordered(groups: Mapping[tuple[int, str], object]) -> list[tuple[int, str]]:
    return sorted(groups, key=lambda group: list(_VERDICTS).index(group[0]))


_COMPARED = 2
_VERDICTS = {
    1: "Pretraining paid ({}): {} is above {} by points: {}",
    0: "No difference beyond the spread ({}): {} minus {} in points: {}",
    -1: "Pretraining did not pay ({}): {} is below {} by points: {}",
    _COMPARED: "Beside another encoder ({}): {} minus {} in points: {}",
}
"""What is said of a difference, by its verdict."""


def words(draws: int, judged: int) -> str:
    """What the intervals in the sentences are."""
    return (
        f"in brackets {CONFIDENCE:.0%} intervals of the differences, over {draws} draws of labels, the same for "
        f"both, and {judged:,} judged images"
    )
