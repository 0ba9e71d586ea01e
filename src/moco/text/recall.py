"""Retrieval between pairs: how often the partner is among the nearest."""

from __future__ import annotations

import torch
from torch import Tensor

AT = (1, 5, 10)
_AT_ONCE = 1024


def each_once(groups: Tensor) -> Tensor:
    """The first row of each group (N): what is the same to the letter is one answer, and not many."""
    _, place = torch.unique(groups, return_inverse=True)
    first = torch.full((int(place.max()) + 1,), len(groups), dtype=torch.int64)
    return first.scatter_reduce(0, place.cpu(), torch.arange(len(groups)), "amin")


@torch.no_grad()
def recalls(asking: Tensor, asked: Tensor, groups: Tensor, of_asked: Tensor | None = None) -> dict[int, float]:
    """Of N unit vectors, the share of which a partner is among the 1, 5 and 10 most similar of the others (M x C).

    Vectors of one group are partners: `groups` (N) of those that ask, `of_asked` (M; None: the same) of those asked;
    each that asks has one at least. A tie counts against the partner.
    """
    of_asked = groups if of_asked is None else of_asked
    ranks = []
    for first in range(0, len(asking), _AT_ONCE):
        similar = asking[first : first + _AT_ONCE].float() @ asked.float().T
        partner = groups[first : first + _AT_ONCE, None] == of_asked[None]
        best = similar.masked_fill(~partner, -torch.inf).amax(dim=1, keepdim=True)
        ranks.append(((similar >= best) & ~partner).sum(dim=1))
    rank = torch.cat(ranks)
    return {k: float((rank < k).float().mean()) for k in AT}
