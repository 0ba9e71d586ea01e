"""Images as points: near where their features are near (UMAP, arXiv:1802.03426), from neighbours that are known."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.errors import MocoError

AROUND = 15
"""Neighbours that hold a point in its place."""

FEWEST = 5
"""Images from which on there is something to lay out."""

Floats = NDArray[np.float32]


def lay_out(unit: Floats, places: NDArray[np.int64], cosines: Floats, seed: int) -> Floats:
    """N x 2 from features of length 1 (N x D) and the k nearest of each; the same for the same seed.

    Fewer than FEWEST images lie on a line. Raises MocoError where umap-learn is missing.
    """
    if len(unit) < FEWEST:
        return np.stack([np.arange(len(unit)), np.zeros(len(unit))], axis=1).astype(np.float32)
    if (places < 0).any():  # an approximate search that found fewer: the farthest it found counts again
        places, cosines = places.copy(), cosines.copy()
        for rank in range(1, places.shape[1]):
            missing = places[:, rank] < 0
            places[missing, rank], cosines[missing, rank] = places[missing, rank - 1], cosines[missing, rank - 1]
    around = min(AROUND, places.shape[1] + 1)
    themselves = np.arange(len(unit))[:, None]
    known = np.concatenate([themselves, places[:, : around - 1]], axis=1)
    distances = np.concatenate([np.zeros((len(unit), 1)), 1 - cosines[:, : around - 1]], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that new points could not be added to a layout of known neighbours
        make = umap().UMAP(
            n_neighbors=around,
            metric="cosine",
            random_state=seed,
            n_jobs=1,
            init="pca",
            precomputed_knn=(known.astype(np.int32), np.maximum(distances, 0).astype(np.float32)),
            force_approximation_algorithm=True,
        )
        found: Floats = np.asarray(make.fit_transform(unit), dtype=np.float32)
    if not np.isfinite(found).all():
        raise MocoError("the map could not be laid out: UMAP gave numbers that are not finite; try another --seed")
    return found


def umap() -> Any:
    """The module of umap-learn."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import umap
    except ImportError:
        raise MocoError("a map needs umap-learn: pip install 'momentum-contrast[explore]'") from None
    return umap
