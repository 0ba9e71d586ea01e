"""Labelled images as fine-tuning needs them: crops of some to learn from, middles of some to be judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from moco.data.loader import Loader, Plan
from moco.data.part import Part
from moco.data.source import Source
from moco.embed import Prepared
from moco.preprocess import Preprocess
from moco.views import Views


@dataclass(frozen=True)
class Lesson:
    """Labelled images to learn from, of which those at `rows` are in use; all of them are readable."""

    source: Source
    labels: NDArray[np.int64]
    loader: Loader
    """Gives any of the images, by position in `source`."""
    views: Views
    preprocess: Preprocess
    rows: NDArray[np.int64]

    def some(self, rows: NDArray[np.int64]) -> Lesson:
        """With other rows in use."""
        return replace(self, rows=rows)

    def middles(self) -> Judged:
        """The images in use, to judge by."""
        words = [str(n) for n in self.labels[self.rows]]
        part = Part(self.source, self.rows, words, self.source.description)
        return Judged(Prepared(part, self.preprocess.centre), self.labels[self.rows], self.preprocess)


@dataclass(frozen=True)
class Judged:
    """The middles of images, and their classes (N), that a tuned network is judged by."""

    images: Prepared
    labels: NDArray[np.int64]
    preprocess: Preprocess


@dataclass(frozen=True)
class RowsPlan(Plan):
    """A plan of some images of a larger source: the same order and crops as any image of it would have there."""

    rows: NDArray[np.int64] | None = None

    def index(self, step: int) -> NDArray[np.int64]:
        """The images of a step, by position in the larger source."""
        assert self.rows is not None
        return self.rows[super().index(step)]
