"""Images in groups: near duplicates as connected components, clusters by k-means, and those that fit nowhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import MiniBatchKMeans

from moco.search.nearest import Floats, How, Integers, nearest

_CHUNK = 1 << 25


@dataclass(frozen=True)
class Group:
    """Positions of images that belong together, the most typical first, each with its cosine to the others' middle."""

    members: Integers
    cosines: NDArray[np.float64]


def duplicates(unit: Floats, threshold: float) -> list[Group]:
    """Groups linked by pairs with a cosine of at least `threshold` (N x D unit vectors), the largest first; exact."""
    known = torch.from_numpy(unit)
    chunk = max(1, _CHUNK // len(unit))
    pairs = []
    for first in range(0, len(unit), chunk):
        product = known[first : first + chunk] @ known[first:].T
        near = torch.triu(product, diagonal=1) >= threshold
        pairs.append(near.nonzero() + first)
    a, b = torch.cat(pairs).T.numpy()
    links = coo_matrix((np.ones(len(a), dtype=bool), (a, b)), shape=(len(unit), len(unit)))
    _, component = connected_components(links, directed=False)
    return _groups(unit, component, fewest=2)


def clusters(unit: Floats, k: int, seed: int = 0) -> list[Group]:
    """k groups by k-means on unit vectors (scikit-learn's MiniBatchKMeans), the largest first; empty ones left out."""
    means = MiniBatchKMeans(min(k, len(unit)), random_state=seed, n_init=3, batch_size=1024)
    return _groups(unit, means.fit_predict(unit), fewest=1)


def outliers(unit: Floats, k: int, how: How = "auto") -> tuple[NDArray[np.float64], Integers]:
    """Mean cosine distance of each image to its k nearest, and the positions from the largest on."""
    cosines, _ = nearest(unit, unit, k, themselves=True, how=how)
    distance = 1 - cosines.astype(np.float64).mean(axis=1)
    return distance, np.argsort(-distance, kind="stable").astype(np.int64)


def _groups(unit: Floats, component: NDArray[np.int32], fewest: int) -> list[Group]:
    order = np.argsort(component, kind="stable")
    ends = np.flatnonzero(np.diff(component[order])) + 1
    groups = []
    for members in np.split(order, ends):
        if len(members) < fewest:
            continue
        middle = unit[members].mean(axis=0, dtype=np.float64)
        cosines = unit[members] @ (middle / max(float(np.linalg.norm(middle)), 1e-12))
        best = np.argsort(-cosines, kind="stable")
        groups.append(Group(members[best].astype(np.int64), cosines[best]))
    return sorted(groups, key=lambda g: (-len(g.members), int(g.members.min())))
