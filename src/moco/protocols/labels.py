"""Few labels: how many, and which images have them. A draw is a function of (seed, draw, name of the image) alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moco.data.source import Source
from moco.errors import MocoError
from moco.ops import draw


@dataclass(frozen=True)
class PerClass:
    """So many images of each class; all of them where a class has fewer."""

    number: int

    def of(self, images: int) -> int:
        """How many of a class of so many images."""
        return min(self.number, images)

    def __str__(self) -> str:
        return f"{self.number} per class"

    @property
    def words(self) -> str:
        """For a sentence."""
        return f"{self.number} label{'s' if self.number > 1 else ''} per class"


@dataclass(frozen=True)
class Share:
    """A share of each class, at least one image."""

    share: float

    def of(self, images: int) -> int:
        """How many of a class of so many images."""
        return min(images, max(1, round(self.share * images)))

    def __str__(self) -> str:
        return f"{100 * self.share:g}%"

    @property
    def words(self) -> str:
        """For a sentence."""
        return f"{self} of the labels"


Amount = PerClass | Share


def read_amount(text: str) -> Amount:
    """`1%` or `10%` of each class, or a number of images of each class; raises MocoError for anything else."""
    try:
        if text.endswith("%"):
            if 0 < (share := float(text.removesuffix("%")) / 100) <= 1:
                return Share(share)
        elif (number := int(text)) >= 1:
            return PerClass(number)
    except ValueError:
        pass
    raise MocoError(f"--few {text}: give shares of the labels (1% 10%), or numbers of images per class (5)")


def name_keys(source: Source) -> NDArray[np.uint64]:
    """64 bits of each image's name, which stand for it wherever it comes in the source."""
    keys = np.empty(len(source), dtype=np.uint64)
    for i in range(len(source)):
        digest = hashlib.blake2b(source.name(i).encode("utf-8", "surrogateescape"), digest_size=8)
        keys[i] = int.from_bytes(digest.digest(), "little")
    return keys


def draw_labels(
    labels: NDArray[np.int64], keys: NDArray[np.uint64], amount: Amount, seed: int, number: int
) -> NDArray[np.int64]:
    """Positions, ascending, of the images of one draw: of each class the amount, and of `keys` nothing but the ranks.

    A larger amount takes the images of a smaller one and more.
    """
    chance = draw.counter(seed, draw.stream("labels"), number, keys)
    chosen = [places[: amount.of(len(places))] for places in _by_class(labels, chance)]
    return np.sort(np.concatenate(chosen))


def spare(labels: NDArray[np.int64], keys: NDArray[np.uint64], share: float, seed: int) -> NDArray[np.bool_]:
    """Which images (of N) are held back: the share of each class, at least one, and none of a class of one image."""
    chance = draw.counter(seed, draw.stream("spare"), keys)
    held = np.zeros(len(labels), dtype=bool)
    for places in _by_class(labels, chance):
        held[places[: min(Share(share).of(len(places)), len(places) - 1)]] = True
    return held


def _by_class(labels: NDArray[np.int64], chance: NDArray[np.uint64]) -> list[NDArray[np.int64]]:
    """The positions of each class, in the order of `chance`."""
    order = np.argsort(chance, kind="stable")
    return [order[labels[order] == label] for label in np.unique(labels)]
