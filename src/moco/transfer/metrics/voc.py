"""Pascal VOC's average precision, at each overlap from 0.5 to 0.95 as the papers report it.

A found box counts where it overlaps a thing of its class that no likelier box has taken; difficult things are neither
right nor wrong. Precision is read at eleven recalls for VOC 2007, and as the area under its envelope for other years.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from moco.transfer.layouts.annotated import Part
from moco.transfer.metrics.predicted import Predicted

OVERLAPS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))

Floats = NDArray[np.float64]


def voc_precision(part: Part, predicted: Iterable[Predicted]) -> dict[str, float]:
    """AP (the mean over overlaps), AP50 and AP75: means over the classes that occur, as shares of 1."""
    found: dict[int, list[tuple[float, int, Floats]]] = defaultdict(list)
    for one in predicted:
        for box, score, label in zip(one.boxes, one.scores, one.labels, strict=True):
            found[int(label)].append((float(score), one.image, box))
    table = []
    for label in range(len(part.classes)):
        truth = _truth(part, label)
        if any((~difficult).any() for _, difficult in truth.values()):
            table.append([_one(found[label], truth, least, part.eleven) for least in OVERLAPS])
    means = np.array(table).mean(axis=0) if table else np.zeros(len(OVERLAPS))
    return {"AP": float(means.mean()), "AP50": float(means[0]), "AP75": float(means[5])}


def _truth(part: Part, label: int) -> dict[int, tuple[Floats, NDArray[np.bool_]]]:
    """For each image with the class: its boxes, and which of them are difficult."""
    truth = {}
    for i, image in enumerate(part.images):
        own = [thing for thing in image.things if thing.label == label]
        if own:
            truth[i] = np.array([thing.box for thing in own]), np.array([thing.crowd for thing in own])
    return truth


def _one(
    found: list[tuple[float, int, Floats]],
    truth: dict[int, tuple[Floats, NDArray[np.bool_]]],
    least: float,
    eleven: bool,
) -> float:
    taken = {i: np.zeros(len(boxes), dtype=bool) for i, (boxes, _) in truth.items()}
    right, wrong = [], []
    for _, image, box in sorted(found, key=lambda one: -one[0]):
        hit = miss = False
        boxes, difficult = truth.get(image, (np.zeros((0, 4)), np.zeros(0, dtype=bool)))
        overlap = overlaps(box, boxes)
        best = int(overlap.argmax()) if len(overlap) else -1
        if best >= 0 and overlap[best] > least:
            if not difficult[best]:
                hit, miss = not taken[image][best], bool(taken[image][best])
                taken[image][best] = True
        else:
            miss = True
        right.append(hit)
        wrong.append(miss)
    things = sum(int((~difficult).sum()) for _, difficult in truth.values())
    hits, misses = np.cumsum(right), np.cumsum(wrong)
    recall = hits / max(things, 1)
    precision = hits / np.maximum(hits + misses, 1)
    return _at_eleven(recall, precision) if eleven else _area(recall, precision)


def overlaps(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of one box with M (M x 4)."""
    if not len(boxes):
        return np.zeros(0)
    wide = np.clip(np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0]), 0, None)
    high = np.clip(np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1]), 0, None)
    shared = wide * high
    area = (box[2] - box[0]) * (box[3] - box[1]) + (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    found: Floats = shared / np.maximum(area - shared, 1e-12)
    return found


def _at_eleven(recall: Floats, precision: Floats) -> float:
    best = [precision[recall >= t].max() if (recall >= t).any() else 0.0 for t in np.arange(0.0, 1.1, 0.1)]
    return float(np.mean(best))


def _area(recall: Floats, precision: Floats) -> float:
    r = np.concatenate([[0.0], recall, [1.0]])
    p = np.concatenate([[0.0], precision, [0.0]])
    p = np.maximum.accumulate(p[::-1])[::-1]
    return float(((r[1:] - r[:-1]) * p[1:]).sum())
