"""Fine-tuning from end to end, as v1 does on iNaturalist and ImageNet (sections A.6 and A.7)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from moco import distributed
from moco.protocols.contender import Contender
from moco.protocols.contest import Contest
from moco.protocols.interval import wilson, wilson_words
from moco.protocols.labels import name_keys
from moco.protocols.lesson import Exam, exams_of, lesson_of
from moco.protocols.probe import TOP
from moco.protocols.result import Cell, Format, Result
from moco.protocols.tuning import Tuning, choose_rate, rate_words, tune


@dataclass(frozen=True, kw_only=True)
class Finetune(Tuning):
    """The protocol: all labelled images are learnt from."""

    name: ClassVar[str] = "finetune"

    def judge(self, contest: Contest) -> Result:
        """Accuracy after the last epoch, of every contender that has weights."""
        train, test = contest.readable(contest.train), contest.readable(contest.test)
        tuned = [c for c in contest.contenders if c.learns]
        exams, keys = exams_of(contest, tuned), name_keys(train.source)
        own = [self.score(contest, c, exams[c.name], keys) for c in tuned[distributed.number() :: distributed.count()]]
        distributed.meet()
        scores = {score.contender: score for score in distributed.joined(own)}
        judged, plan = len(test.labels), self.plan(lesson_of(contest, tuned[0], self.seed).rows)
        several = len(train.classes) > TOP
        formats: list[Format] = ["share", "share", "number"] if several else ["share", "number"]
        rows = {}
        for contender in tuned:
            score = scores[contender.name]
            shares = [score.last, score.top5] if several else [score.last]
            rows[contender.name] = [*(Cell(s, None, wilson(s, judged)) for s in shares), Cell(score.lr)]
        return Result(
            protocol=self.name,
            data=contest.data,
            title=f"fine-tuned end to end, {plan.epochs} epochs of {len(train.labels):,} images, judged on {judged:,} "
            "after the last epoch",
            columns=["accuracy", *([f"top {TOP}"] if several else []), "the rate"],
            formats=formats,
            rows=rows,
            settings=dataclasses.asdict(self)
            | {"epochs": plan.epochs, "best_epoch": {name: score.best for name, score in scores.items()}},
            interval=wilson_words(judged),
            note=rate_words(self),
        )

    def score(self, contest: Contest, contender: Contender, exam: Exam, keys: NDArray[np.uint64]) -> FinetuneScore:
        """A tuned copy, judged after each epoch, or so seldom that judging takes no more images than learning."""
        lesson, rates = lesson_of(contest, contender, self.seed), self.rates(contender.trained)
        lr = choose_rate(contender.module, lesson, rates, self, contest.placement, keys)
        every = -(-len(exam.labels) // len(lesson.rows))
        looks = tune(contender.module, lesson, exam, lr, self, contest.placement, every)
        top1 = [float((rank < 1).mean()) for rank in looks]
        return FinetuneScore(contender.name, lr, top1[-1], max(top1), float((looks[-1] < TOP).mean()))


@dataclass(frozen=True)
class FinetuneScore:
    """Accuracy of a contender on the judged images: after the last epoch, and the best of all looks."""

    contender: str
    lr: float
    last: float
    best: float
    top5: float
    """Share of images whose class is among the five likeliest, after the last epoch."""
