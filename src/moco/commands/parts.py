"""The labelled images of an evaluation: what is learnt from, and what is judged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from moco.data.labelled import Labelled, alike, hold_back, some
from moco.data.open import open_labelled
from moco.errors import MocoError

SPLIT = 0.2
"""Share of the labelled images that is judged, where they do not come split."""

Name = str | os.PathLike[str]


def open_parts(
    data: Name | None, train: Name | None, test: Name | None, split: float | None, note: Callable[[str], None]
) -> tuple[Labelled, Labelled]:
    """(train, test) of the same classes: as `data` come, or else with a share held back; or from two places.

    Raises MocoError where images have no classes, or are judged by classes that are not learnt.
    """
    if data is not None:
        parts = _of_one(data, split)
    else:
        assert train is not None
        assert test is not None
        parts = _of_two(train, test)
    known, judged = alike(*parts)
    unjudged = sorted({known.classes[n] for n in np.setdiff1d(known.labels, judged.labels)})
    if unjudged:
        shown = ", ".join(unjudged[:4]) + (" ..." if len(unjudged) > 4 else "")
        note(f"{len(unjudged)} of {len(known.classes)} classes are learnt but never judged: {shown}")
    return known, judged


def refuse_unclear_data(data: Name | None, train: Name | None, test: Name | None, split: float | None) -> None:
    """Raise MocoError unless images are named once: by `data`, or by `train` and `test`."""
    if (data is None) == (train is None and test is None):
        both = "both --data and --train or --test" if data is not None else "no images"
        raise MocoError(f"{both} named: give --data LABELLED, or --train LABELLED and --test LABELLED")
    if data is None and (train is None or test is None):
        given, missing = ("--test", "--train") if train is None else ("--train", "--test")
        raise MocoError(f"{missing} is missing: {given} needs it beside it; or give --data LABELLED, which is split")
    if split is not None and data is None:
        raise MocoError("--split is for --data; --train and --test are split already")
    if split is not None and not 0 < split < 1:
        raise MocoError(f"--split {split}: a share between 0 and 1, such as 0.2")


def _of_one(data: Name, split: float | None) -> tuple[Labelled, Labelled]:
    labelled = _named("data", data)
    if labelled.bank is not None:
        if split is not None:
            raise MocoError(
                f"--split {split}: {os.fspath(data)} comes split ({labelled.source.description}); leave it out"
            )
        return labelled.bank, labelled
    rest, held = hold_back(labelled.labels, SPLIT if split is None else split)
    return some(labelled, rest), some(labelled, held)


def _of_two(train: Name, test: Name) -> tuple[Labelled, Labelled]:
    if os.fspath(train) == os.fspath(test) or (Path(train).exists() and Path(train).resolve() == Path(test).resolve()):
        raise MocoError(
            f"--train and --test are both {os.fspath(test)}: give --data {os.fspath(test)} to hold a part back"
        )
    known, judged = _named("train", train), _named("test", test)
    return known.bank or known, judged


def _named(flag: str, where: Name) -> Labelled:
    try:
        return open_labelled(where)
    except MocoError as error:
        said = str(error).replace("--data", f"--{flag}")
        raise MocoError(said + ("; labelfree needs no classes" if "class" in said else "")) from None
