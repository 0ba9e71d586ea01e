"""Few labels: what a linear classifier on frozen features makes of n labelled images per class.

The table that tells whether pretraining paid: the same probe, on the same draws of labels, on the trained features, on
those of the untrained network and on the pixels themselves.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from moco.ops import draw

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of the penalty; each probe picks its own by cross-validation on its few labels."""


@dataclass(frozen=True)
class Features:
    """Features (N x D) and labels (N) of images whose classes are known."""

    features: NDArray[np.float32]
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
        probe = _probe(min(3, per_class), seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # an unfinished fit of a weak penalty is seldom picked
            probe.fit(train.features[chosen], train.labels[chosen])
        found.append(float((probe.predict(test.features) == test.labels).mean()))
    return Score(float(np.mean(found)), float(np.std(found)))


def draw_labels(labels: NDArray[np.int64], per_class: int, seed: int, number: int) -> NDArray[np.int64]:
    """Positions of `per_class` images of each class, or of all where a class has fewer; a function of (seed, number)."""
    chosen: list[int] = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        order = draw.permutation(len(places), seed, draw.stream("labels"), number, int(label))
        chosen += places[order[:per_class]].tolist()
    return np.array(sorted(chosen), dtype=np.int64)


def _probe(folds: int, seed: int) -> GridSearchCV | object:
    """Standardised features, then a logistic regression whose penalty is chosen by cross-validation."""
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTHS[2], max_iter=200))
    if folds < 2:
        return plain
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    grid = {"logisticregression__C": list(STRENGTHS)}
    return GridSearchCV(plain, grid, cv=splits)
