"""Few labels, fine-tuned: the whole encoder learns from a few images of each class, those that few-labels draws."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from moco import distributed
from moco.protocols.contender import Contender
from moco.protocols.contest import Contest
from moco.protocols.few import AMOUNTS, fitting, refuse_impossible, table
from moco.protocols.labels import Amount, draw_labels, name_keys
from moco.protocols.lesson import Exam, exams_of, lesson_of
from moco.protocols.paired import Hits
from moco.protocols.result import Result
from moco.protocols.tuning import Tuning, choose_rate, rate_words, tune


@dataclass(frozen=True, kw_only=True)
class FewLabelsFinetune(Tuning):
    """The protocol."""

    name: ClassVar[str] = "few-labels-finetune"
    always_beside: ClassVar[tuple[str, ...]] = ("random",)

    amounts: tuple[str, ...] = field(default=AMOUNTS, metadata={"prefix": "few"})
    """Shares of the labels (`1%`) or numbers of images per class (`5`)."""
    draws: int = field(default=5, metadata={"prefix": "few"})
    """As many as are worth their time: each takes a training for each amount and contender."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_impossible(self.amounts, self.draws)

    @property
    def title(self) -> str:
        """Of the table."""
        return "fine-tuned end to end"

    def judge(self, contest: Contest) -> Result:
        """Mean accuracy over the draws, for each amount of labels, and whether pretraining paid.

        Several processes take shares of the trainings.
        """
        known = contest.readable(contest.train)
        keys, amounts = name_keys(known.source), fitting(self.amounts, known, contest.data)
        tuned = [c for c in contest.contenders if c.learns]
        exams = exams_of(contest, tuned)
        trainings = [(c, amount, one) for one in range(self.draws) for amount in amounts for c in tuned]
        own = trainings[distributed.number() :: distributed.count()]
        contest.note(f"{len(trainings)} trainings on few labels")
        told = _tell_the_time(contest.note, len(own), len(own) // self.draws)
        found = []
        for contender, amount, one in own:
            rows = draw_labels(known.labels, keys, amount, self.seed, one)
            found.append((self._key(contender, amount, one), self._hits(contest, contender, exams, rows, keys, one)))
            told()
        distributed.meet()
        made = dict(distributed.joined(found))
        hits: dict[str, list[Hits]] = {c.name: [] for c in tuned}
        rates: dict[str, list[list[float]]] = {c.name: [] for c in tuned}
        for contender in tuned:
            for amount in amounts:
                of_draws = [made[self._key(contender, amount, one)] for one in range(self.draws)]
                hits[contender.name].append(np.stack([right for right, _ in of_draws]))
                rates[contender.name].append([lr for _, lr in of_draws])
        result = table(self, contest, amounts, hits, {"rates": rates})
        return replace(result, note=". ".join(words for words in (result.note, rate_words(self)) if words))

    def _key(self, contender: Contender, amount: Amount, number: int) -> tuple[str, str, int]:
        return contender.name, str(amount), number

    def _hits(
        self,
        contest: Contest,
        contender: Contender,
        exams: Mapping[str, Exam],
        rows: NDArray[np.int64],
        keys: NDArray[np.uint64],
        number: int,
    ) -> tuple[NDArray[np.bool_], float]:
        """Which images a copy tuned on these rows is right about, and its rate.

        Order and crops are the draw's own, and so is a random initialisation: its luck is part of the spread.
        """
        module = contender.again(number) if contender.again is not None else contender.module
        settings = replace(self, seed=self.seed + number)
        lesson = lesson_of(contest, contender, settings.seed).at(rows)
        lr = choose_rate(module, lesson, self.rates(contender.trained), settings, contest.placement, keys)
        (ranks,) = tune(module, lesson, exams[contender.name], lr, settings, contest.placement)
        return ranks < 1, lr


def _tell_the_time(note: Callable[[str], None], trainings: int, first: int) -> Callable[[], None]:
    """To be called after each training: says once, after the `first` so many, how long the others will take."""
    start, done = time.monotonic(), 0

    def told() -> None:
        nonlocal done
        done += 1
        if done == first < trainings:
            minutes = (time.monotonic() - start) / first * (trainings - first) / 60
            left = f"about {minutes:.0f} min" if minutes >= 1 else "less than a minute"
            note(f"one draw of the labels is done; {left} left")

    return told
