"""What the protocols of few labels share: which amounts of labels there are, and the table of several draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from moco.data.labelled import Labelled
from moco.errors import MocoError
from moco.protocols.contest import Contest
from moco.protocols.interval import t_interval, t_words
from moco.protocols.labels import Amount, PerClass, read_amount
from moco.protocols.paired import Hits, brackets, verdict
from moco.protocols.result import Cell, Result

AMOUNTS = ("1", "5", "10", "20")
"""Images per class where nothing is said."""


class Few(Protocol):
    """A protocol of few labels, a dataclass."""

    @property
    def name(self) -> str: ...
    @property
    def draws(self) -> int: ...
    @property
    def title(self) -> str:
        """How the contenders learn, for the table."""
        ...


def refuse_impossible(amounts: Sequence[str], draws: int) -> None:
    """Raise MocoError for settings that no images could meet."""
    if not amounts:
        raise MocoError("--few: give shares of the labels (1% 10%), or numbers of images per class (5)")
    for text in amounts:
        read_amount(text)
    if draws < 1:
        raise MocoError(f"--few-draws {draws}: must be at least 1")


def fitting(amounts: Sequence[str], known: Labelled, data: str) -> list[Amount]:
    """The amounts that there are labels for: numbers that the smallest class does not have are left out.

    Raises MocoError where none is left, or no two classes are.
    """
    read = [read_amount(text) for text in dict.fromkeys(amounts)]
    images = np.bincount(known.labels, minlength=len(known.classes))
    fewest = int(images.min())
    if np.count_nonzero(images) < 2:
        raise MocoError(f"{data}: of the images to learn from, only those of one class can be read; repair the others")
    found = [one for one in read if not isinstance(one, PerClass) or one.number <= fewest]
    if not found:
        raise MocoError(
            f"{data}: --few {' '.join(amounts)} needs as many images of each class to learn from; the smallest class "
            f"has {fewest} (where data do not come split, some are held back: --split)"
        )
    return found


def table(
    protocol: Few,
    contest: Contest,
    amounts: Sequence[Amount],
    hits: Mapping[str, Sequence[Hits]],
    more: Mapping[str, object] = MappingProxyType({}),
) -> Result:
    """Mean, spread and interval of each contender and amount; in the note, whether pretraining paid. `more` is kept."""
    labels = contest.readable(contest.train).labels
    judged = len(contest.readable(contest.test).labels)
    free = [c.name for c in contest.contenders if not c.trained]
    rows = {name: [_cell(one) for one in of_name] for name, of_name in hits.items()}
    told = verdict(amounts, hits, free, protocol.title)
    assert dataclasses.is_dataclass(protocol)
    return Result(
        protocol=protocol.name,
        data=contest.data,
        title=f"{protocol.title}, few labels, mean of {protocol.draws} draws, judged on {judged:,} images",
        columns=[column(one, labels) for one in amounts],
        rows=rows,
        settings=dataclasses.asdict(protocol) | more,
        interval=t_words(protocol.draws) if protocol.draws > 1 else "",
        note=f"{told} ({brackets(protocol.draws, judged)})" if told and protocol.draws > 1 else told,
    )


def column(amount: Amount, labels: NDArray[np.int64]) -> str:
    """The amount as it stands above a column: shares with how many of these images they are."""
    if isinstance(amount, PerClass):
        return str(amount)
    return f"{amount} ({sum(amount.of(int(n)) for n in np.unique(labels, return_counts=True)[1]):,} images)"


def _cell(hits: Hits) -> Cell:
    values = hits.mean(axis=1).tolist()
    if (interval := t_interval(values)) is None:
        return Cell(values[0])
    low, high = interval
    return Cell(float(np.mean(values)), float(np.std(values, ddof=1)), (max(0.0, low), min(1.0, high)))
