"""Cityscapes' own average precision of instances: masks of at least 100 pixels, matched without exclusion first.

As in the official evaluation: a found mask that lies mostly on void or on a group of its class is neither right nor
wrong; each true instance takes its likeliest match, the others are false; precision is integrated over recall.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.transfer.layouts.annotated import Annotated, Part
from moco.transfer.layouts.outlines import pixels
from moco.transfer.metrics.predicted import Predicted

OVERLAPS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
_LEAST_PIXELS = 100

Masks = NDArray[np.uint8]


def cityscapes_precision(part: Part, predicted: Iterable[Predicted]) -> dict[str, float]:
    """mask AP (the mean over overlaps from 0.5 to 0.95) and mask AP50, means over the classes that occur."""
    seen: list[list[list[_Seen]]] = [[[] for _ in OVERLAPS] for _ in part.classes]
    missed = np.zeros((len(part.classes), len(OVERLAPS)), dtype=np.int64)
    there = np.zeros(len(part.classes), dtype=bool)
    for one in predicted:
        image = part.images[one.image]
        found = _masks(one.masks or [], image)
        for label in range(len(part.classes)):
            own = [i for i, c in enumerate(one.labels) if c == label and found[i].sum() > 0]
            things = _true(image, label, crowd=False)
            ignored = _true(image, label, crowd=True)
            ignored += list(pixels([image.void], image.width, image.height)) if image.void is not None else []
            there[label] |= any(int(t.sum()) >= _LEAST_PIXELS for t in things)
            for number, least in enumerate(OVERLAPS):
                rows, lost = _match([found[i] for i in own], one.scores[own], things, ignored, least)
                seen[label][number] += rows
                missed[label, number] += lost
    table = [[_area(seen[c][n], int(missed[c, n])) for n in range(len(OVERLAPS))] for c in np.flatnonzero(there)]
    means = np.array(table).mean(axis=0) if table else np.zeros(len(OVERLAPS))
    return {"mask AP": float(means.mean()), "mask AP50": float(means[0])}


_Seen = tuple[float, bool]
"""(score, whether it is right)"""


def _masks(outlines: list[dict[str, Any]], image: Annotated) -> Masks:
    return pixels(list(outlines), image.width, image.height)


def _true(image: Annotated, label: int, crowd: bool) -> list[Masks]:
    outlines = [t.outline for t in image.things if t.label == label and t.crowd == crowd]
    return list(pixels(outlines, image.width, image.height))


def _match(
    found: list[Masks], scores: NDArray[np.float64], things: list[Masks], groups: list[Masks], least: float
) -> tuple[list[_Seen], int]:
    """Each found mask that counts, and how many things were missed; `groups` and small things are ignored."""
    overlap = np.array([[_iou(f, t) for t in things] for f in found]).reshape(len(found), len(things))
    small = [int(t.sum()) < _LEAST_PIXELS for t in things]
    rows: list[_Seen] = []
    missed = 0
    for j in range(len(things)):
        if small[j]:
            continue
        hits = sorted((float(scores[i]) for i in np.flatnonzero(overlap[:, j] > least)), reverse=True)
        rows += [(score, place == 0) for place, score in enumerate(hits)]
        missed += not hits
    for i, mask in enumerate(found):
        if len(things) and (overlap[i] > least).any():
            continue
        ignored = sum(int((mask & group).sum()) for group in groups)
        ignored += sum(int((mask & t).sum()) for t, tiny in zip(things, small, strict=True) if tiny)
        if ignored / mask.sum() <= least:
            rows.append((float(scores[i]), False))
    return rows, missed


def _iou(a: Masks, b: Masks) -> float:
    shared = int((a & b).sum())
    return shared / max(int(a.sum()) + int(b.sum()) - shared, 1)


def _area(seen: list[_Seen], missed: int) -> float:
    """The area under precision over recall, by the trapezoids of the official evaluation."""
    if not any(right for _, right in seen):
        return 0.0
    ordered = sorted(seen, key=lambda one: one[0])
    scores = np.array([score for score, _ in ordered])
    right = np.array([hit for _, hit in ordered], dtype=np.int64)
    _, first = np.unique(scores, return_index=True)
    hits_below = np.concatenate([[0], np.cumsum(right)])[first]
    hits = right.sum() - hits_below
    found = len(ordered) - first
    precision = np.append(hits / found, 1.0)
    recall = np.append(hits / (right.sum() + missed), 0.0)
    padded = np.concatenate([[recall[0]], recall, [0.0]])
    widths = np.convolve(padded, [-0.5, 0, 0.5], "valid")
    return float(np.dot(precision, widths))
