"""What is told of the images that a run learns from: their captions as numbers, and which of them are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from moco.data.groups import Groups
from moco.text.borrowed import Borrowed
from moco.text.words import Words


@dataclass(frozen=True)
class Told:
    """The captions of N images."""

    words: Words | Borrowed
    numbers: Tensor
    """N x L whole numbers, the words of each caption."""
    groups: Groups
    """Images whose captions are the same to the letter: neither is a negative of the other."""
    cut: int
    """How many captions were longer than the recipe allows, and were cut."""

    @classmethod
    def of(cls, texts: Sequence[str], words: Words | Borrowed) -> Told:
        """These captions, by this tokenizer."""
        numbers, cut = words.encode(texts)
        return cls(words, numbers, Groups.named(texts), cut)


def kept(words: Words | Borrowed) -> dict[str, Any]:
    """What reads texts, as a run keeps it: text and numbers."""
    plain = {"tokenizer": words.tokenizer, "length": words.length}
    match words:
        case Words():
            return plain
        case Borrowed(settings=settings):
            return plain | {"settings": settings}


def opened(stated: Mapping[str, Any]) -> Words | Borrowed:
    """What `kept` gave; the weights of a borrowed model are in a checkpoint then."""
    if "settings" in stated:
        return Borrowed(str(stated["settings"]), str(stated["tokenizer"]), int(stated["length"]))
    return Words(str(stated["tokenizer"]), int(stated["length"]))
