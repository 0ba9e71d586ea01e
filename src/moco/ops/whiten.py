"""Features without their correlations: every main axis counts alike in a cosine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEAST = 1e-3
"""Axes that hold less than this share of the largest variance are not blown up beyond it: they are mostly noise."""


class Whitening(nn.Module):
    """Features N x D, moved by a mean (D) and turned by a matrix (D x D); nothing in it is trained."""

    mean: Tensor
    matrix: Tensor

    def __init__(self, mean: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("matrix", matrix)

    def forward(self, features: Tensor) -> Tensor:
        """N x D to N x D."""
        moved: Tensor = (features - self.mean) @ self.matrix
        return moved


def whitening(like: Tensor) -> Whitening:
    """What gives the features `like` (M x D) mean 0 and, along their main axes, variance 1; computed in fp64."""
    x = like.double()
    mean = x.mean(dim=0)
    centred = x - mean
    values, axes = torch.linalg.eigh(centred.T @ centred / max(1, len(x)))
    floor = (values[-1] * LEAST).clamp_min(1e-12)
    return Whitening(mean, axes / values.clamp_min(floor).sqrt())


def whitened(features: Tensor, like: Tensor) -> Tensor:
    """Features (N x D), moved and turned as `whitening` of those of `like` (M x D) says."""
    moved: Tensor = whitening(like)(features.double())
    return moved.to(features.dtype)
