"""Scores of features that need no labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def effective_rank(features: Tensor) -> Tensor:
    """exp of the entropy of the singular values' shares (RankMe, arXiv:2210.02885, equation 1) of N x D features.

    At most min(N, D); 1: all features on one line, a collapse. The features are taken as they are, not centred.
    """
    return _smooth_rank(torch.linalg.svdvals(features.float()))


def lidar(views: Tensor, delta: float = 1e-4) -> Tensor:
    """The effective rank of what tells images apart (LiDAR, arXiv:2312.04000, section 4) of Q views of N images.

    `views` is N x Q x D. Each image is a class: S_b is the covariance of the images' means, S_w that of the views
    around them plus `delta` on its diagonal; the score is exp of the entropy of the shares of the eigenvalues of
    S_w^-1/2 S_b S_w^-1/2. At most min(N - 1, D). It changes with the scale of the features, through `delta`.
    """
    x = views.double()
    means = x.mean(dim=1)
    between, within = means - means.mean(dim=0), (x - means[:, None]).flatten(0, 1)
    s_b = between.T @ between / len(between)
    s_w = within.T @ within / len(within) + delta * torch.eye(x.shape[2], dtype=x.dtype, device=x.device)
    root = torch.linalg.cholesky(s_w)  # S_w = L L'; L^-1 S_b L'^-1 has the same eigenvalues
    half = torch.linalg.solve_triangular(root, s_b, upper=False)
    values = torch.linalg.eigvalsh(torch.linalg.solve_triangular(root, half.T, upper=False))
    return _smooth_rank(values.clamp_min(0))


def _smooth_rank(values: Tensor) -> Tensor:
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
