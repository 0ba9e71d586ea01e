"""The hardest pairs: positives that are not found, and negatives that look like positives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from moco.data.decode import decode
from moco.data.picture import picture
from moco.data.source import Source, Unreadable, sample
from moco.device import Placement
from moco.encoder import Encoder
from moco.pages.pictures import nearly_same, shown
from moco.pages.tiles import Tile, tile
from moco.recipe import Recipe
from moco.views import KEY, QUERY, Views

SHOWN = 6
"""Pairs of each kind."""

_BATCH, _COARSE = 64, 16


@dataclass(frozen=True)
class Missed:
    """A view whose own second view is not the most similar one."""

    query: Tile
    own: Tile
    taken: Tile
    """A view of another image, which is more similar."""
    place: int
    """Of its own among all, the most similar first: 2 and more."""


@dataclass(frozen=True)
class Pairs:
    """What was looked at, and what was hardest."""

    images: int
    found: int
    """Views whose own second view is the most similar one."""
    missed: list[Missed]
    """The farthest first."""
    alike: list[tuple[Tile, Tile]]
    """Views of two different images, the most similar first; the second has their cosine."""


@torch.no_grad()
def hardest(
    source: Source, encoder: Encoder, recipe: Recipe, placement: Placement, images: int, epoch: int
) -> Pairs | None:
    """Of two views of each of so many images, as drawn in `epoch`; None for fewer than two that can be read.

    Both views go through the query encoder, which is what a run keeps; in training, keys are the momentum encoder's.
    """
    views = Views(recipe)
    positions, queries, keys, small = _seen(source, views, sample(source, images), epoch)
    if len(positions) < 2:
        return None
    q, k = (_encoded(encoder, x, placement) for x in (queries, keys))
    cosine = (q @ k.T).numpy()
    own = cosine.diagonal().copy()
    places = 1 + (cosine > own[:, None]).sum(axis=1)
    others = cosine.copy()
    np.fill_diagonal(others, -2)
    best = others.argmax(axis=1)

    def of(i: int, view: int, value: float | None = None) -> Tile:
        return tile(shown((queries, keys)[view][i], recipe), source.name(int(positions[i])), cosine=value)

    missed = [
        Missed(of(i, QUERY), of(i, KEY, float(own[i])), of(j, KEY, float(others[i, j])), int(places[i]))
        for i in np.argsort(own - others.max(axis=1))[:SHOWN].tolist()
        if places[i] > 1
        for j in (int(best[i]),)
    ]
    alike = [(of(i, QUERY), of(j, KEY, float(others[i, j]))) for i, j in _different(others, small)]
    return Pairs(len(positions), int((places == 1).sum()), missed, alike)


def _seen(
    source: Source, views: Views, positions: NDArray[np.int64], epoch: int
) -> tuple[NDArray[np.int64], Tensor, Tensor, Tensor]:
    """The readable ones of these: positions (N), their two views (N x C x S x S each), and the images, coarse."""
    kept: list[int] = []
    crops: list[Tensor] = []
    small: list[Tensor] = []
    for i in positions.tolist():
        try:
            image: NDArray[Any] = decode(source.raw(i))
        except Unreadable:
            continue
        kept.append(i)
        crops.append(views.cut(image, epoch, i))
        whole = torch.from_numpy(picture(image)).permute(2, 0, 1).float()
        small.append(F.adaptive_avg_pool2d(whole, _COARSE).flatten())
    index = np.array(kept, dtype=np.int64)
    if not kept:
        return index, torch.empty(0), torch.empty(0), torch.empty(0)
    queries, keys = views.finish(torch.stack(crops), index, np.full(len(index), epoch))
    return index, queries, keys, torch.stack(small)


def _encoded(encoder: Encoder, images: Tensor, placement: Placement) -> Tensor:
    network = placement.put(encoder).eval()
    parts = []
    for first in range(0, len(images), _BATCH):
        with placement.autocast():
            parts.append(network(images[first : first + _BATCH].to(placement.device)).float().cpu())
    return torch.cat(parts)


def _different(cosine: NDArray[np.float32], small: Tensor) -> Sequence[tuple[int, int]]:
    """The most similar views of different images: each image at most once, and no copies of one image."""
    used: set[int] = set()
    found: list[tuple[int, int]] = []
    most = min(cosine.size, 50 * SHOWN)
    first = np.argpartition(-cosine, most - 1, axis=None)[:most]
    for flat in first[np.argsort(-cosine.ravel()[first])].tolist():
        i, j = divmod(flat, cosine.shape[1])
        if i == j or used & {i, j} or bool(nearly_same(small[i], small[j][None])[0]):
            continue
        used |= {i, j}
        found.append((i, j))
        if len(found) == SHOWN:
            break
    return found
