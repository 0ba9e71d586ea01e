"""Is one encoder better than another, judged on the same images after learning from the same draws of labels?

What counts is the difference image by image and draw by draw: luck that both have in common drops out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from moco.protocols.interval import CONFIDENCE, normal_half, t_half
from moco.protocols.labels import Amount

Hits = NDArray[np.bool_]
"""Which images were judged rightly: draws x N."""


Verdict = Literal["above", "within", "below"]


@dataclass(frozen=True)
class Difference:
    """Mean difference of two accuracies, and half the width of its 95 % interval; shares."""

    mean: float
    half: float

    @property
    def verdict(self) -> Verdict:
        """`within`: the interval holds zero, so neither is above the other beyond the spread."""
        if abs(self.mean) <= self.half:
            return "within"
        return "above" if self.mean > 0 else "below"

    def points(self, sign: str = "+") -> str:
        """In percent with the interval; `sign=""` leaves out the signs, where words beside it say which is above."""
        mean, *ends = (100 * min(1.0, max(-1.0, self.mean + side * self.half)) for side in (0, -1, 1))
        if not sign:
            mean, *ends = abs(mean), *sorted(map(abs, ends))
        return f"{mean:{sign}.1f} points ({ends[0]:{sign}.1f} to {ends[1]:{sign}.1f})"


def difference(a: Hits, b: Hits) -> Difference:
    """How far a lies above b, from two draws on.

    The interval is Student's over the draws and the normal one over the images, added as variances: other labels would
    have given another difference, and so would other images to judge.
    """
    gap = a.astype(np.float64) - b
    draws = t_half(gap.mean(axis=1).tolist())
    assert draws is not None, "a single draw says nothing about the spread"
    return Difference(float(gap.mean()), math.hypot(draws, normal_half(gap.mean(axis=0).tolist())))


def verdict(amounts: Sequence[Amount], hits: Mapping[str, Sequence[Hits]], free: Sequence[str], how: str) -> str:
    """Did pretraining pay? In plain words, for the first of the contenders whose `hits` these are, one an amount.

    For each amount it is put against the best of those in `free`, which were not pretrained; then against each other.
    `how` says how they learnt from the labels: "frozen features".
    """
    first, *others = hits
    if len(hits[first][0]) < 2:
        return "One draw says nothing about the spread, so whether pretraining paid is open: give --few-draws 5"
    found: dict[tuple[Verdict, str], list[str]] = {}
    for i, amount in enumerate(amounts):
        if beside := {name: hits[name][i] for name in others if name in free}:
            best = max(beside, key=lambda name: beside[name].mean())
            one = difference(hits[first][i], beside[best])
            points = one.points("+" if one.verdict == "within" else "")
            found.setdefault((one.verdict, best), []).append(f"{points} with {amount.words}")
    told = [
        words.format(how=how, first=first, other=other, points=", ".join(points))
        for kind, words in _SAYS.items()
        for (verdict, other), points in found.items()
        if verdict == kind
    ]
    for other in (name for name in others if name not in free):
        gaps = [difference(a, b).points() for a, b in zip(hits[first], hits[other], strict=True)]
        points = ", ".join(f"{gap} with {amount.words}" for gap, amount in zip(gaps, amounts, strict=True))
        told.append(f"Beside another encoder ({how}): {first} minus {other} is {points}")
    return ". ".join(told)


_SAYS: dict[Verdict, str] = {
    "above": "Pretraining paid ({how}): {first} is above {other} by {points}",
    "within": "No difference beyond the spread ({how}): {first} minus {other} is {points}",
    "below": "Pretraining did not pay ({how}): {first} is below {other} by {points}",
}


def brackets(draws: int, judged: int) -> str:
    """What the intervals in the sentences are."""
    return (
        f"in brackets {CONFIDENCE:.0%} intervals of the differences, over {draws} draws of labels, the same for "
        f"both, and {judged:,} judged images"
    )
