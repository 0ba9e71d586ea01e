"""Images with a class each, to judge features by; and, where the data come split, what to learn from."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moco.data.archive import Archive
from moco.data.folder import Folder
from moco.data.names import last_folder, printable, root_of
from moco.data.part import Part
from moco.data.source import Source
from moco.errors import MocoError
from moco.ops import draw

JUDGED = ("test", "val", "valid", "validation")
"""Names of the folder beside `train`; of several, the first is judged."""

_LAYOUT = (
    "judging takes a class for each image: FOLDER/<class>/<image>.jpg; or FOLDER/train/<class>/<image>.jpg beside "
    "FOLDER/test/<class>/<image>.jpg (a zip is the same); or a list with a column label; or an .npz with labels"
)


@dataclass(frozen=True)
class Labelled:
    """Images with a class each."""

    source: Source
    labels: NDArray[np.int64]
    """The class of each image: a position in `classes`."""
    classes: tuple[str, ...]
    bank: Labelled | None = None
    """The images to learn from, of the same classes, where the data come split; `source` is then what is judged."""


def some(labelled: Labelled, rows: NDArray[np.int64]) -> Labelled:
    """Those of the images at `rows`; the classes stay."""
    words = [labelled.classes[n] for n in labelled.labels[rows]]
    part = Part(labelled.source, rows, words, labelled.source.description)
    return Labelled(part, labelled.labels[rows], labelled.classes)


def hold_back(labels: NDArray[np.int64], share: float, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of (the rest, what is held back): `share` of each class by a draw, at least one and never all of it.

    A function of `seed`. Raises MocoError where no class has two images.
    """
    held: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        order = draw.permutation(len(places), seed, draw.stream("held back"), int(label))
        held.append(places[order[: min(max(1, round(share * len(places))), len(places) - 1)]])
    rows = np.sort(np.concatenate(held))
    if not len(rows):
        raise MocoError("each class has a single labelled image, so none can be held back to judge on")
    return np.setdiff1d(np.arange(len(labels)), rows), rows


def alike(train: Labelled, test: Labelled) -> tuple[Labelled, Labelled]:
    """Both with one list of classes; raises MocoError where an image of `test` is of a class that `train` has not."""
    learnt, judged = ({one.classes[n] for n in np.unique(one.labels)} for one in (train, test))
    if judged - learnt:
        strange = sorted(judged - learnt, key=by_size_or_letter)
        raise MocoError(
            f"{test.source.description}: its class{'es' if len(strange) > 1 else ''} {_first(strange)} "
            f"{'are' if len(strange) > 1 else 'is'} not among those to learn from ({_first(list(learnt))}, of "
            f"{train.source.description}); name the folders alike, or leave such images out"
        )
    classes = tuple(sorted(learnt, key=by_size_or_letter))
    if len(classes) < 2:
        raise MocoError(f"{train.source.description}: all images are of one class, {classes[0]}; {_LAYOUT}")
    number = {word: n for n, word in enumerate(classes)}

    def renumbered(one: Labelled) -> Labelled:
        to = np.array([number.get(word, -1) for word in one.classes], dtype=np.int64)
        return Labelled(one.source, to[one.labels], classes)

    return renumbered(train), renumbered(test)


def by_labels(source: Source, bank: Source | None = None) -> Labelled:
    """Classes as the sources state them; raises MocoError where an image has none, all have the same, or
    the two parts have none in common.
    """
    words = _stated(source)
    bank_words = [] if bank is None else _stated(bank)
    if bank is not None and not {*words} & {*bank_words}:
        raise MocoError(
            f"{source.description}: none of its classes ({_first(words)}) is one of {bank.description} "
            f"({_first(bank_words)}), so nothing learnt there can be judged here; name the folders alike"
        )
    classes = tuple(sorted({*words, *bank_words}, key=by_size_or_letter))
    if len(classes) < 2:
        raise MocoError(f"{source.description}: all images are of one class, {classes[0]}; {_LAYOUT}")
    number = {word: n for n, word in enumerate(classes)}
    labels, bank_labels = (np.array([number[word] for word in w], dtype=np.int64) for w in (words, bank_words))
    return Labelled(source, labels, classes, None if bank is None else Labelled(bank, bank_labels, classes))


def by_folder(whole: Folder | Archive, shown: str) -> Labelled:
    """Classes from the folder right above each image; beside a part that is judged, `train` is the bank."""
    top = root_of(whole.names)
    firsts = [name[len(top) :].partition("/")[0] for name in whole.names]
    parts = set(firsts)
    judged = next((part for part in JUDGED if part in parts), None)
    if judged is None or "train" not in parts or not parts <= {"train", *JUDGED}:
        return by_labels(_part(whole, range(len(firsts)), top, printable(shown)))

    left_out = "".join(f" ({part} is left out)" for part in sorted(parts - {"train", judged}))
    source, bank = (
        _part(whole, [i for i, first in enumerate(firsts) if first == part], f"{top}{part}/", description)
        for part, description in (
            (judged, f"{printable(shown)}, {judged}{left_out}"),
            ("train", f"{printable(shown)}, train"),
        )
    )
    return by_labels(source, bank)


def _part(whole: Folder | Archive, positions: list[int] | range, top: str, description: str) -> Part:
    words = []
    for i in positions:
        if (folder := last_folder(whole.names[i], top)) is None:
            raise MocoError(f"{whole.description}: {whole.name(i)} lies in no folder of a class; {_LAYOUT}")
        words.append(sys.intern(printable(folder)))
    return Part(whole, np.array(positions, dtype=np.int64), words, description)


def _stated(source: Source) -> list[str]:
    """The class of each image, as the source states it."""
    words = []
    for i in range(len(source)):
        if (word := source.label(i)) is None:
            raise MocoError(f"{source.description}: {source.name(i)} has no class; {_LAYOUT}")
        words.append(word)
    return words


def _first(words: list[str]) -> str:
    """The first few classes, for a sentence."""
    kinds = sorted({*words}, key=by_size_or_letter)
    return ", ".join(kinds[:4]) + (" ..." if len(kinds) > 4 else "")


def by_size_or_letter(word: str) -> tuple[bool, int, str]:
    """Numbers by size, before words by letter."""
    return (False, int(word), word) if word.isdecimal() else (True, 0, word)
