"""Few labels: what a linear classifier on frozen features makes of n labelled images per class.

The table that tells whether pretraining paid: the same probe, on the same draws of labels, on the trained features, on
those of the untrained network and on the pixels themselves.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from threadpoolctl import threadpool_limits

from moco.ops import draw

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of the penalty; each probe picks its own by cross-validation on its few labels."""


Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """Features (N x D) and labels (N) of images whose classes are known."""

    features: Floats
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """Accuracy over several draws of labels: mean and standard deviation."""

    mean: float
    std: float


def few_labels(train: Features, test: Features, per_class: int, draws: int = 10, seed: int = 0) -> Score:
    """Accuracy on `test` of a logistic regression on `per_class` images of each class of `train`."""
    found = []
    for one in range(draws):
        chosen = draw_labels(train.labels, per_class, seed, one)
        known, judged = _in_their_span(train.features[chosen], test.features)
        fewest = int(np.unique(train.labels[chosen], return_counts=True)[1].min())
        probe = _probe(min(3, fewest), seed)
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # an unfinished fit of a weak penalty is seldom picked
            probe.fit(known, train.labels[chosen])
        found.append(float((probe.predict(judged) == test.labels).mean()))
    return Score(float(np.mean(found)), float(np.std(found)))


def draw_labels(labels: NDArray[np.int64], per_class: int, seed: int, number: int) -> NDArray[np.int64]:
    """Positions of `per_class` images of each class, all where a class has fewer; a function of (seed, number)."""
    chosen: list[int] = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        order = draw.permutation(len(places), seed, draw.stream("labels"), number, int(label))
        chosen += places[order[:per_class]].tolist()
    return np.array(sorted(chosen), dtype=np.int64)


def _in_their_span(known: Floats, judged: Floats) -> tuple[Floats, Floats]:
    """Standardised features in the coordinates of the span of the known ones: n numbers an image instead of D.

    A linear classifier with a quadratic penalty never leaves that span, so nothing changes but the time it takes.
    """
    mean, std = known.mean(axis=0), known.std(axis=0) + 1e-6
    known, judged = (known - mean) / std, (judged - mean) / std
    if known.shape[0] >= known.shape[1]:
        return known, judged
    axes, _ = np.linalg.qr(known.T)
    return known @ axes, judged @ axes


def _probe(folds: int, seed: int) -> Any:
    """A logistic regression whose penalty is chosen by cross-validation, or in the middle where labels are too few."""
    if folds < 2:
        return LogisticRegression(C=STRENGTHS[2], max_iter=200)
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return GridSearchCV(LogisticRegression(max_iter=200), {"C": list(STRENGTHS)}, cv=splits)
