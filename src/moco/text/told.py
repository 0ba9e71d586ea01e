"""What is told of the images that a run learns from: their captions as numbers, and which of them are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from moco.data.groups import Groups
from moco.text.words import Words


@dataclass(frozen=True)
class Told:
    """The captions of N images."""

    words: Words
    numbers: Tensor
    """N x L whole numbers, the words of each caption."""
    groups: Groups
    """Images whose captions are the same to the letter: neither is a negative of the other."""
    cut: int
    """How many captions were longer than the recipe allows, and were cut."""

    @classmethod
    def of(cls, texts: Sequence[str], words: Words) -> Told:
        """These captions, by this tokenizer."""
        numbers, cut = words.encode(texts)
        return cls(words, numbers, Groups.named(texts), cut)
