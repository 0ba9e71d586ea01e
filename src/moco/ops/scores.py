"""Scores of features that need no labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def effective_rank(features: Tensor) -> Tensor:
    """exp of the entropy of the singular values' shares (RankMe, arXiv:2210.02885, equation 1) of N x D features.

    At most min(N, D); 1: all features on one line, a collapse. The features are taken as they are, not centred.
    """
    values = torch.linalg.svdvals(features.float())
    share = values / values.sum().clamp_min(1e-12) + 1e-7
    return torch.exp(-(share * share.log()).sum())


def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance of two views of the same image, unit vectors N x C (arXiv:2005.10242); 0: views agree."""
    return (a - b).square().sum(dim=1).mean()


def uniformity(z: Tensor) -> Tensor:
    """log of the mean of exp(-2 |x - y|^2) over pairs, unit vectors N x C (arXiv:2005.10242); lower is more spread out.

    0: all in one point; -3.9 for vectors spread evenly in 128 dimensions.
    """
    distances: Tensor = torch.pdist(z.float())
    return torch.log((-2 * distances**2).exp().mean())


def spread(z: Tensor) -> Tensor:
    """Mean standard deviation of the coordinates of unit vectors N x C, times sqrt(C): 0 collapsed, 1 evenly spread."""
    return z.std(dim=0, correction=0).mean() * math.sqrt(z.shape[1])
