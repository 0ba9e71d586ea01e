"""The most similar vectors by cosine: exact, in blocks of bounded memory over both sides."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ROWS, BANK = 4096, 8192
"""Vectors of each side that are compared at once: 2^25 products, 128 MiB."""


@torch.no_grad()
def nearest(
    rows: Tensor,
    bank: Tensor,
    k: int,
    *,
    themselves: bool = False,
    first: int = 0,
    device: torch.device | None = None,
    rows_at_once: int = ROWS,
    bank_at_once: int = BANK,
) -> tuple[Tensor, Tensor]:
    """Cosines and positions in the bank (N x k, on `device`) of the k most similar to each row, the nearest first.

    `rows` (N x D) and `bank` (M x D) may lie on the host and go to `device` block by block; k is at most M.
    `themselves`: row i is bank vector `first` + i, and is not its own neighbour; k is at most M - 1.

    Besides the result this takes 4 (R B + 2 (R + B) D) + 24 R k bytes on the device, for R rows and B bank vectors at
    once.
    """
    device = device or rows.device
    assert 0 < k <= len(bank) - int(themselves)
    cosines, places = [], []
    for start in range(0, len(rows), rows_at_once):
        x = F.normalize(rows[start : start + rows_at_once].to(device), dim=1)
        best = torch.empty(len(x), 0, device=device)
        where = torch.empty(len(x), 0, dtype=torch.int64, device=device)
        for begin in range(0, len(bank), bank_at_once):
            y = F.normalize(bank[begin : begin + bank_at_once].to(device), dim=1)
            similar = x @ y.T
            if themselves:
                own = torch.arange(first + start, first + start + len(x), device=device) - begin
                inside = ((own >= 0) & (own < len(y))).nonzero()[:, 0]
                similar[inside, own[inside]] = -torch.inf
            top = similar.topk(min(k, len(y)), dim=1)
            candidates = torch.cat([best, top.values], dim=1)
            best, chosen = candidates.topk(min(k, candidates.shape[1]), dim=1)
            where = torch.cat([where, top.indices + begin], dim=1).gather(1, chosen)
        cosines.append(best)
        places.append(where)
    return torch.cat(cosines), torch.cat(places)
