"""Which classes the encoder takes for each other: whose images lie next to whose, where the images state classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from moco.data.labelled import by_size_or_letter

MOST_CLASSES = 12
"""Classes that are shown, those with the most images."""
VOTES = 5
"""Nearest neighbours of each image that are counted."""


@dataclass(frozen=True)
class Confusion:
    """A row for each class: the share of its images' nearest neighbours in each class."""

    classes: list[str]
    images: list[int]
    """Of each class."""
    shares: list[list[float]]
    """Rows sum to 1, but for neighbours in classes that are not shown."""
    votes: int
    more: int
    """Classes that are not shown."""


def confusion(features: Tensor, labels: Sequence[str | None]) -> Confusion | None:
    """Of features N x D, and the class of each image or None; None where not two classes have two images each."""
    kept = [i for i, label in enumerate(labels) if label is not None]
    words, numbers = np.unique([str(labels[i]) for i in kept], return_inverse=True)
    counts = np.bincount(numbers, minlength=len(words))
    if len(words) < 2 or (counts >= 2).sum() < 2:
        return None
    unit = F.normalize(features[kept], dim=1)
    cosine = unit @ unit.T
    cosine.fill_diagonal_(-2)
    votes = min(VOTES, len(kept) - 1)
    near = numbers[cosine.topk(votes).indices.numpy()]
    table = np.zeros((len(words), len(words)))
    np.add.at(table, (np.repeat(numbers, votes), near.ravel()), 1)
    table /= table.sum(axis=1, keepdims=True)
    order = sorted(range(len(words)), key=lambda n: by_size_or_letter(str(words[n])))
    chosen = sorted(sorted(order, key=lambda n: -counts[n])[:MOST_CLASSES], key=order.index)
    return Confusion(
        [str(words[n]) for n in chosen],
        [int(counts[n]) for n in chosen],
        table[np.ix_(chosen, chosen)].tolist(),
        votes,
        len(words) - len(chosen),
    )
