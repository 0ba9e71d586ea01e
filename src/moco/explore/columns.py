"""What is known of each image from the features of all: its neighbours, and how alone or how doubled it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from moco.search.groups import clusters
from moco.search.nearest import How, nearest

NEAREST = 24
"""Neighbours that are kept of each image."""

ALONE = 10
"""Neighbours over which the distance is meant that makes an outlier, as in `moco outliers`."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Columns over N images."""

    places: Integers
    """N x k: the nearest of each, the nearest first."""
    cosines: Floats
    """N x k, of these."""
    cluster: Integers
    """From 1 on, the largest first."""
    copies: Integers
    """The number of the group of near duplicates, from 1 on, the largest first; 0 for most images: there are none."""

    @property
    def distance(self) -> Floats:
        """Cosine distance to the nearest."""
        return _distance(self.cosines[:, :1])

    @property
    def outlier(self) -> Floats:
        """Mean cosine distance to the ALONE nearest."""
        return _distance(self.cosines[:, :ALONE])


def columns(unit: Floats, *, threshold: float, groups: int, seed: int, how: How = "auto") -> Columns:
    """The columns from features of length 1 (N x D).

    Images are near duplicates where a chain of cosines from `threshold` on links them, each link one to a neighbour
    that was kept. Raises MocoError for fewer than two images.
    """
    cosines, places = nearest(unit, unit, NEAREST, themselves=True, how=how)
    cluster = np.zeros(len(unit), dtype=np.int64)
    for number, group in enumerate(clusters(unit, groups, seed), 1):
        cluster[group.members] = number
    return Columns(places, cosines, cluster, near_duplicates(places, cosines, threshold))


def near_duplicates(places: Integers, cosines: Floats, threshold: float) -> Integers:
    """The number of each image's group (N), 0 where it has none; an approximate search leaves places of -1 out."""
    a, rank = np.nonzero((cosines >= threshold) & (places >= 0))
    links = coo_matrix((np.ones(len(a), dtype=bool), (a, places[a, rank])), shape=(len(places), len(places)))
    _, component = connected_components(links, directed=False)
    size = np.bincount(component)
    order = np.argsort(-size, kind="stable")  # components are numbered by their first image
    number = np.zeros(len(size), dtype=np.int64)
    number[order] = np.arange(1, len(size) + 1)
    found: Integers = np.where(size[component] > 1, number[component], 0)
    return found


def _distance(cosines: Floats) -> Floats:
    found: Floats = np.maximum(1 - cosines.astype(np.float64).mean(axis=1), 0).astype(np.float32)
    return found
