"""Retrieval between pairs: how often the partner is among the nearest."""

from __future__ import annotations

import torch
from torch import Tensor

AT = (1, 5, 10)
_AT_ONCE = 1024


@torch.no_grad()
def recalls(asking: Tensor, asked: Tensor, groups: Tensor) -> dict[int, float]:
    """Of N unit vectors, the share of which a partner is among the 1, 5 and 10 most similar of the others (N x C).

    Vectors of one group (N) are partners, i of `asking` and i of `asked` always. A tie counts against the partner.
    """
    ranks = []
    for first in range(0, len(asking), _AT_ONCE):
        similar = asking[first : first + _AT_ONCE].float() @ asked.float().T
        partner = groups[first : first + _AT_ONCE, None] == groups[None]
        best = similar.masked_fill(~partner, -torch.inf).amax(dim=1, keepdim=True)
        ranks.append(((similar >= best) & ~partner).sum(dim=1))
    rank = torch.cat(ranks)
    return {k: float((rank < k).float().mean()) for k in AT}
