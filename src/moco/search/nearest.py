"""The nearest neighbours by cosine: exact in chunks of bounded memory, or approximate with faiss for millions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from moco.errors import MocoError
from moco.ops.nearest import nearest as exact

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
How = Literal["auto", "exact", "faiss"]

MOST_EXACT = 2e13
"""Multiplications up to which the search is exact if not told otherwise: 200,000 images with 512 numbers each."""


def nearest(
    queries: Floats, bank: Floats, k: int, *, themselves: bool = False, how: How = "auto"
) -> tuple[Floats, Integers]:
    """Cosines and positions (Q x k) of the k nearest in the bank (N x D unit vectors), the nearest first.

    `themselves`: the queries are the bank, and none is its own neighbour; k is at most N, or N - 1 then.
    """
    k = min(k, len(bank) - int(themselves))
    if k < 1:
        raise MocoError(f"{len(bank)} images have no neighbours; give at least two")
    work = float(len(queries)) * len(bank) * bank.shape[1]
    if how == "faiss" or (how == "auto" and work > MOST_EXACT and _faiss_is_there()):
        return _approximate(queries, bank, k, themselves)
    cosines, places = exact(torch.from_numpy(queries), torch.from_numpy(bank), k, themselves=themselves)
    return cosines.numpy(), places.numpy()


def _approximate(queries: Floats, bank: Floats, k: int, themselves: bool) -> tuple[Floats, Integers]:
    """An inverted file (faiss, IVF): the bank in 4 sqrt(N) cells, of which each query searches a sixteenth or 16."""
    faiss = _faiss()
    cells = max(1, min(len(bank) // 39, round(4 * len(bank) ** 0.5)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(bank.shape[1]), bank.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = 0
    index.train(bank)
    index.add(bank)
    index.nprobe = min(cells, max(16, cells // 16))
    cosines, places = index.search(queries, k + int(themselves))
    return _without_themselves(cosines, places.astype(np.int64)) if themselves else (cosines, places.astype(np.int64))


def _without_themselves(cosines: Floats, places: Integers) -> tuple[Floats, Integers]:
    """Drop from each row its own position, or the last column where it was not found."""
    own = places == np.arange(len(places))[:, None]
    own[~own.any(axis=1), -1] = True
    k = places.shape[1] - 1
    return cosines[~own].reshape(-1, k), places[~own].reshape(-1, k)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise MocoError("--how faiss needs faiss: pip install 'momentum-contrast[faiss]'") from None
    return faiss


def _faiss_is_there() -> bool:
    try:
        _faiss()
    except MocoError:
        return False
    return True
