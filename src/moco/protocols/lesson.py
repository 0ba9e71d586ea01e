"""Labelled images as fine-tuning needs them: crops of some to learn from, middles of some to be judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from moco.data.labelled import Labelled, some
from moco.data.loader import Loader, Plan
from moco.data.seen import seen
from moco.embed import Prepared
from moco.preprocess import Preprocess
from moco.protocols.contender import Contender
from moco.protocols.contest import Contest
from moco.protocols.linear import crop_views
from moco.recipe import Pixels
from moco.two_views import Views


@dataclass(frozen=True)
class Exam:
    """The middles of images, and their classes (N), that a tuned network is judged by."""

    images: Prepared
    labels: NDArray[np.int64]
    preprocess: Preprocess


@dataclass(frozen=True)
class Lesson:
    """Readable labelled images to learn from, of which those at `rows` are in use."""

    train: Labelled
    loader: Loader
    """Gives any of the images, by position in `train`."""
    views: Views
    preprocess: Preprocess
    rows: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Of the images in use."""
        return self.train.labels[self.rows]

    def at(self, rows: NDArray[np.int64]) -> Lesson:
        """With the images at these rows of `train` in use."""
        return replace(self, rows=rows)

    def as_exam(self) -> Exam:
        """The images in use, to be judged by."""
        used = some(self.train, self.rows)
        return Exam(
            Prepared(seen(used.source, self.preprocess.pixels), self.preprocess.centre), used.labels, self.preprocess
        )


@dataclass(frozen=True)
class RowsPlan(Plan):
    """A plan of some images of a larger set, by position in that set, so that their crops are those they have there."""

    rows: NDArray[np.int64] | None = None

    def at(self, step: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The images at these places of the batch of a step."""
        assert self.rows is not None
        return self.rows[super().at(step, places)]


def lesson_of(contest: Contest, contender: Contender, seed: int) -> Lesson:
    """All images that a contender may learn from; `seed` names the crops."""
    train, views = contest.readable(contest.train), crop_views(contender.preprocess, seed)
    rows = np.arange(len(train.labels))
    return Lesson(train, contest.loader(train, views), views, contender.preprocess, rows)


def exams_of(contest: Contest, contenders: Sequence[Contender]) -> dict[str, Exam]:
    """What each contender is judged by, under its name: this process has all the images, and one copy for each size."""
    test = contest.readable(contest.test)
    made: dict[tuple[int, Pixels | None], Prepared] = {}
    found: dict[str, Exam] = {}
    for one in contenders:
        how = one.preprocess
        if (key := (how.size, how.pixels)) not in made:
            made[key] = Prepared(seen(test.source, how.pixels), how.centre, contest.machine.decoders)
        found[one.name] = Exam(made[key], test.labels, how)
    return found
