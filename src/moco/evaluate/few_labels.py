"""Few labels: what a linear classifier on frozen features makes of n labelled images per class.

The table that tells whether pretraining paid: the same probe, on the same draws of labels, on the trained features, on
those of the untrained network and on the pixels themselves.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from threadpoolctl import threadpool_limits

from moco import distributed
from moco.errors import MocoError
from moco.evaluate.contest import Contest, Features
from moco.evaluate.interval import t_interval, t_words
from moco.evaluate.result import Cell, Result
from moco.ops import draw

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of the penalty; each probe picks its own by cross-validation on its few labels."""


Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FewLabels:
    """The protocol."""

    name: ClassVar[str] = "few-labels"
    prefix: ClassVar[str] = "few_labels"
    needs_labels: ClassVar[bool] = True

    per_class: tuple[int, ...] = (1, 5, 10, 20)
    """Labelled images of each class; those that the smallest class does not have are left out."""
    draws: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.per_class or min(self.per_class) < 1:
            raise MocoError(f"--few-labels-per-class {' '.join(map(str, self.per_class))}: numbers from 1 on")
        if self.draws < 1:
            raise MocoError(f"--few-labels-draws {self.draws}: must be at least 1")

    def judge(self, contest: Contest) -> Result:
        """Mean accuracy over the draws, for each number of labels."""
        fewest = int(np.bincount(contest.readable(contest.train).labels, minlength=len(contest.train.classes)).min())
        counts = [n for n in self.per_class if n <= fewest]
        if not counts:
            raise MocoError(
                f"{contest.data}: few-labels needs {min(self.per_class)} images of each class to learn from; the "
                f"smallest class has {fewest} (where data do not come split, some are held back: --split)"
            )
        rows: dict[str, list[Cell]] = {}
        judged = 0
        for contender in contest.contenders:
            train, test = (contest.features(contender, side) for side in (contest.train, contest.test))
            judged = len(test.labels)
            scores = [self._score(train, test, n) for n in counts]
            rows[contender.name] = [Cell(score.mean, score.std, t_interval(score.values)) for score in scores]
        return Result(
            protocol=self.name,
            data=contest.data,
            title=f"linear classifier on few labels, mean of {self.draws} draws, judged on {judged:,} images",
            columns=[f"{n} per class" for n in counts],
            rows=rows,
            settings=dataclasses.asdict(self),
            interval=t_words(self.draws) if self.draws > 1 else "",
        )

    def _score(self, train: Features, test: Features, per_class: int) -> Score:
        """Several processes take shares of the draws."""
        own = list(range(self.draws))[distributed.share(self.draws, 1)]
        values = few_labels(train, test, per_class, own, self.seed).values
        distributed.meet()
        return Score(tuple(distributed.joined(values)))


@dataclass(frozen=True)
class Score:
    """Accuracy of each of several draws of labels."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the draws."""
        return float(np.mean(self.values))

    @property
    def std(self) -> float:
        """Standard deviation over the draws."""
        return float(np.std(self.values))


def few_labels(
    train: Features, test: Features, per_class: int, draws: Iterable[int] = range(10), seed: int = 0
) -> Score:
    """Accuracy on `test` of a logistic regression on `per_class` images of each class of `train`, for each draw."""
    found = []
    for one in draws:
        chosen = draw_labels(train.labels, per_class, seed, one)
        known, judged = _in_their_span(train.features[chosen], test.features)
        fewest = int(np.unique(train.labels[chosen], return_counts=True)[1].min())
        probe = _probe(min(3, fewest), seed)
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # an unfinished fit of a weak penalty is seldom picked
            probe.fit(known, train.labels[chosen])
        found.append(float((probe.predict(judged) == test.labels).mean()))
    return Score(tuple(found))


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
