"""Mean intersection over union of classes: how well each pixel's class is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from moco.transfer.layouts.annotated import VOID

Counts = NDArray[np.int64]


def confusion(truth: NDArray[np.int64], found: NDArray[np.int64], classes: int) -> Counts:
    """C x C: of the pixels of each true class (row), how many were found to be of each class; void is left out."""
    known = truth != VOID
    pairs = truth[known] * classes + found[known]
    return np.bincount(pairs.ravel(), minlength=classes * classes).reshape(classes, classes)


def mean_iou(counts: Counts, classes: Sequence[str]) -> dict[str, float]:
    """mIoU over the classes that occur or were found, and the share of pixels that are right."""
    right = np.diag(counts).astype(np.float64)
    union = counts.sum(0) + counts.sum(1) - right
    there = union > 0
    each = right[there] / union[there]
    total = max(int(counts.sum()), 1)
    return {"mIoU": float(each.mean()) if each.size else 0.0, "pixels right": float(right.sum() / total)}
