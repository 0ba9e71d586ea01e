"""InfoNCE, the contrastive loss (v1, equation 1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Contrast(NamedTuple):
    """What a batch of N queries is contrasted with; all vectors have unit length."""

    key: Tensor
    """N x C, the positive of each query."""
    others: Tensor
    """M x C, the negatives of all queries."""
    log_count: Tensor | None = None
    """N x M, the logarithm of how often a query has a negative: 0 once, log 2 twice, -inf never. None: once each."""


class Loss(NamedTuple):
    """The loss and what can be read off the same similarities, as tensors: reading them is the caller's choice."""

    loss: Tensor
    """Mean over the batch, with gradient."""
    accuracy: Tensor
    """Contrast accuracy: share of queries whose positive is more similar than every negative."""
    positive: Tensor
    """Mean cosine of a query and its key."""
    negative: Tensor
    """Mean cosine of a query and its negatives."""


def info_nce(q: Tensor, contrast: Contrast, temperature: float) -> Loss:
    """-log exp(q.k+/tau) / sum_i exp(q.k_i/tau), over the positive and all negatives, in fp32 whatever the autocast.

    q is N x C of unit length. The logits of the negatives are the only N x M tensor that is kept for the gradient.
    """
    with torch.autocast(q.device.type, enabled=False):
        q = q.float()
        positive = (q * contrast.key.float()).sum(dim=1)
        negatives = q @ contrast.others.float().T
        logits = negatives / temperature
        if contrast.log_count is not None:
            logits = logits + contrast.log_count
        own = positive / temperature
        loss = F.softplus(torch.logsumexp(logits, dim=1) - own).mean()
        with torch.no_grad():
            accuracy = (
                (own > logits.amax(dim=1)).float().mean()
                if contrast.log_count is None
                else _accuracy(positive, negatives, contrast.log_count)
            )
            negative = _mean(negatives, contrast.log_count)
    return Loss(loss, accuracy, positive.detach().mean(), negative)


def info_nce_plain(q: Tensor, contrast: Contrast, temperature: float) -> Tensor:
    """The same as the paper's Algorithm 1 writes it: cross-entropy of (1 + M) logits with label 0."""
    positive = torch.einsum("nc,nc->n", q, contrast.key)[:, None]
    negatives = torch.einsum("nc,mc->nm", q, contrast.others)
    logits = torch.cat([positive, negatives], dim=1) / temperature
    if contrast.log_count is not None:
        logits = logits + F.pad(contrast.log_count, (1, 0))
    labels = torch.zeros(len(q), dtype=torch.long, device=q.device)
    return F.cross_entropy(logits, labels)


def _accuracy(positive: Tensor, negatives: Tensor, log_count: Tensor) -> Tensor:
    hardest = negatives.masked_fill(log_count == -torch.inf, -torch.inf).amax(dim=1)
    return (positive > hardest).float().mean()


def _mean(negatives: Tensor, log_count: Tensor | None) -> Tensor:
    if log_count is None:
        return negatives.mean()
    count = log_count.exp()
    return (negatives * count).sum() / count.sum()
