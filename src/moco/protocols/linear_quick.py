"""The linear classifier on features computed once: minutes instead of hours, and not the papers' protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco import distributed
from moco.data.labelled import hold_back
from moco.data.loader import Plan
from moco.protocols.contest import Contest, Features
from moco.protocols.linear import result, suited, sweep_words
from moco.protocols.probe import HELD_BACK, RATE, Judged, LinearScore, Probe, classify, swept
from moco.protocols.result import Result

NOT_THE_PAPERS = "one centre crop, cached features: not the papers' protocol"
"""Stands wherever a number of this protocol does."""


@dataclass(frozen=True, kw_only=True)
class LinearQuick(Probe):
    """The quick mode; its settings are those of `linear`."""

    name: ClassVar[str] = "linear-quick"

    def judge(self, contest: Contest) -> Result:
        """Accuracy after the last epoch, of every contender that a rate suits."""
        found: dict[str, list[LinearScore]] = {}
        for contender in suited(self, contest):
            train, test = (contest.features(contender, side) for side in (contest.train, contest.test))
            found[contender.name] = distributed.main_alone(lambda a=train, b=test: self._scores(contest, a, b))  # type: ignore[misc]
        how = f"quick linear classifier ({NOT_THE_PAPERS}), {self.epochs} epochs of"
        note = "; ".join(words for words in (NOT_THE_PAPERS, sweep_words(self)) if words)
        made = result(self, contest, found, how, note)
        return replace(made, columns=[name if name == RATE else f"{name} (quick)" for name in made.columns])

    def _scores(self, contest: Contest, train: Features, test: Features) -> list[LinearScore]:
        def fit(known: Features, judged: Features, lrs: Sequence[float]) -> list[LinearScore]:
            features, other = (torch.from_numpy(f.features).to(contest.placement.device) for f in (known, judged))
            settings = replace(self, lrs=tuple(lrs))
            return quick_linear(features, known.labels, Judged(other, judged.labels), classes, settings)

        classes = len(contest.train.classes)
        if not self.sweep:
            return fit(train, test, self.lrs)
        rest, held = hold_back(train.labels, HELD_BACK, self.seed)
        return fit(train, test, [swept(lambda lrs: fit(train.at(rest), train.at(held), lrs))])


def quick_linear(
    features: Tensor, labels: NDArray[np.int64], judged: Judged, classes: int, settings: Probe
) -> list[LinearScore]:
    """One score for each learning rate, from features N x D of the middle of each image."""

    def batches() -> Iterable[tuple[Tensor, NDArray[np.int64]]]:
        plan = Plan(len(labels), min(settings.batch, len(labels)), settings.epochs, settings.seed)
        for step in range(plan.steps):
            index = plan.index(step)
            yield features[torch.from_numpy(index).to(features.device)], labels[index]

    return classify(batches(), len(labels), judged, classes, settings)
