"""Weighted k nearest neighbours (InstDisc, arXiv:1805.01978, section 3.4; the monitor of the official demo)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Bank:
    """Features (M x D) whose labels (M) are known."""

    features: Tensor
    labels: Tensor


def knn_classify(
    features: Tensor, bank: Bank, classes: int, *, k: int, temperature: float, leave_one_out: bool = False
) -> Tensor:
    """The class of each row (N x D): the k most similar of the bank by cosine vote with weight exp(similarity / T).

    `leave_one_out`: the rows are the bank itself, and no row votes for itself. Exact, in chunks of bounded memory.
    """
    reference = F.normalize(bank.features, dim=1)
    k = min(k, len(reference) - int(leave_one_out))
    chunk = max(1, (1 << 25) // len(reference))
    found: list[Tensor] = []
    for first in range(0, len(features), chunk):
        similarity = F.normalize(features[first : first + chunk], dim=1) @ reference.T
        if leave_one_out:
            rows = torch.arange(len(similarity))
            similarity[rows, first + rows] = -torch.inf
        top, place = similarity.topk(k, dim=1)
        votes = torch.zeros(len(top), classes, device=top.device)
        votes.scatter_add_(1, bank.labels[place], (top / temperature).exp())
        found.append(votes.argmax(dim=1))
    return torch.cat(found)


def knn_accuracy(
    features: Tensor,
    labels: NDArray[np.int64],
    classes: int,
    *,
    k: int,
    temperature: float,
    bank: tuple[Tensor, NDArray[np.int64]] | None = None,
) -> float:
    """Share of rows whose class is found; among themselves, each judged by the others, where there is no bank."""
    truth = torch.from_numpy(labels)
    known = Bank(features, truth) if bank is None else Bank(bank[0], torch.from_numpy(bank[1]))
    found = knn_classify(features, known, classes, k=k, temperature=temperature, leave_one_out=bank is None)
    return float((found == truth).float().mean())
