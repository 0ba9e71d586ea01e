"""Few labels: what a linear classifier on frozen features makes of a few labelled images of each class.

The table that tells whether pretraining paid: the same probe, on the same draws of labels, on the trained features, on
those of the untrained network and on the pixels themselves.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from threadpoolctl import threadpool_limits

from moco import distributed
from moco.protocols.contest import Contest, Features
from moco.protocols.few import AMOUNTS, fitting, refuse_impossible, table
from moco.protocols.labels import Amount, draw_labels, name_keys
from moco.protocols.paired import Hits
from moco.protocols.result import Result

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of the penalty; each probe picks its own by cross-validation on its few labels."""


Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FewLabels:
    """The protocol."""

    name: ClassVar[str] = "few-labels"
    prefix: ClassVar[str] = "few"
    needs_labels: ClassVar[bool] = True
    always_beside: ClassVar[tuple[str, ...]] = ("random",)

    amounts: tuple[str, ...] = AMOUNTS
    """Shares of the labels (`1%`) or numbers of images per class (`5`)."""
    draws: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        refuse_impossible(self.amounts, self.draws)

    def judge(self, contest: Contest) -> Result:
        """Mean accuracy over the draws, for each amount of labels, and whether pretraining paid."""
        known = contest.readable(contest.train)
        keys, amounts = name_keys(known.source), fitting(self.amounts, known, contest.data)
        hits: dict[str, list[Hits]] = {}
        for contender in contest.contenders:
            train, test = (contest.features(contender, side) for side in (contest.train, contest.test))
            hits[contender.name] = [self._hits(train, test, keys, amount) for amount in amounts]
        return table(self, contest, amounts, hits)

    @property
    def title(self) -> str:
        """Of the table."""
        return "linear classifier on frozen features"

    def _hits(self, train: Features, test: Features, keys: NDArray[np.uint64], amount: Amount) -> Hits:
        """Several processes take shares of the draws."""
        own = range(self.draws)[distributed.share(self.draws, 1)]
        chosen = [draw_labels(train.labels, keys, amount, self.seed, one) for one in own]
        found = [probe_hits(train.at(rows), test, self.seed) for rows in chosen]
        distributed.meet()
        return np.stack(distributed.joined(found))


def probe_hits(train: Features, test: Features, seed: int = 0) -> NDArray[np.bool_]:
    """Which images of `test` a logistic regression on `train` is right about."""
    known, judged = _in_their_span(train.features, test.features)
    fewest = int(np.unique(train.labels, return_counts=True)[1].min())
    probe = _probe(min(3, fewest), seed)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # an unfinished fit of a weak penalty is seldom picked
        probe.fit(known, train.labels)
    found: NDArray[np.bool_] = probe.predict(judged) == test.labels
    return found


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
