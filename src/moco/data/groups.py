"""Groups of images that show the same, as a person knows it: which other images of its group an image meets."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from moco.ops import draw

Integer = NDArray[np.int64]


class Groups:
    """Which images are of one group; a group of one is an image about which nothing is known."""

    def __init__(self, of: Integer) -> None:
        """`of` is the group of each image, any whole numbers."""
        _, dense = np.unique(of, return_inverse=True)
        self.of: Integer = dense.astype(np.int64)
        """The group of each image, from 0 on."""
        self.sizes: Integer = np.bincount(self.of).astype(np.int64)
        """How many images each group has."""
        self._members = np.argsort(self.of, kind="stable")
        self._start = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self._rank = np.empty_like(self._members)
        self._rank[self._members] = np.arange(len(self.of)) - np.repeat(self._start, self.sizes)

    @classmethod
    def named(cls, names: Sequence[Hashable | None]) -> Groups:
        """The groups that images are said to be of; None: of none but their own."""
        known: dict[Hashable, int] = {}
        return cls(
            np.array(
                [len(names) + i if name is None else known.setdefault(name, len(known)) for i, name in enumerate(names)]
            )
        )

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def alone(self) -> int:
        """How many images are in a group of one."""
        return int((self.sizes == 1).sum())

    def identity(self) -> str:
        """SHA-256 of which images are of one group: has what is known changed?"""
        return hashlib.sha256(self.of.tobytes()).hexdigest()

    def partners(self, images: Integer, count: int, seed: int, epoch: int) -> Integer:
        """`count` other images of the group of each of N images (N x count), each set as likely as any other.

        A function of (seed, epoch, image). Where a group has fewer, they come in turn; an image that is alone is its
        own partner.
        """
        others = self.sizes[self.of[images]] - 1
        numbers = draw.uniform(draw.stream("partner"), seed, epoch, images[:, None], np.arange(count))
        chosen = np.zeros((len(images), count), dtype=np.int64)
        for p in range(count):  # Floyd's sampling without replacement (Bentley and Floyd 1987)
            last = others - count + p
            drawn = np.floor(numbers[:, p] * (last + 1)).astype(np.int64)
            chosen[:, p] = np.where((chosen[:, :p] == drawn[:, None]).any(axis=1), last, drawn)
        few = np.maximum(others, 1)[:, None]
        in_turn = (np.floor(numbers[:, :1] * few).astype(np.int64) + np.arange(count)) % few
        chosen = np.where((others < count)[:, None], in_turn, chosen)
        rank = self._rank[images][:, None]
        place = np.where((others == 0)[:, None], rank, chosen + (chosen >= rank))
        found: Integer = self._members[self._start[self.of[images]][:, None] + place]
        return found
