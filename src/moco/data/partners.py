"""Whose image the key view of each query is taken of, where that is known to show the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moco.data.groups import Groups

Integer = NDArray[np.int64]

_MOST_IMAGES = 40
"""Bits of the position of an image in a name: a million million images."""


@dataclass(frozen=True)
class Names:
    """What the draws of views are named by, where that is not their image."""

    own: Integer
    """Of this process's."""
    everyone: Integer
    """Of all processes', in their order."""


@dataclass(frozen=True)
class Met:
    """Images that are met as keys, P for each query, in the order of the queries."""

    own: Integer
    """This process's."""
    everyone: Integer
    """Those of all processes, in their order."""
    names: Names


@dataclass(frozen=True)
class Partners:
    """The images that P keys of each query are made of, as a function of (seed, epoch, image)."""

    groups: Groups
    count: int
    """P."""
    seed: int

    def of(self, images: Integer, epoch: int) -> tuple[Integer, Integer]:
        """For N images, those of their keys (NP, query by query), and what the draws of these views are named by.

        A key view is named by its query, so that an image which several queries meet in an epoch is seen anew by each.
        """
        found = self.groups.partners(images, self.count, self.seed, epoch)
        names = images[:, None] + (np.arange(self.count, dtype=np.int64) << _MOST_IMAGES)
        return found.ravel(), names.ravel()
