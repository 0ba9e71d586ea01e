"""Features without their correlations: every main axis counts alike in a cosine."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-3
"""Axes that hold less than this share of the largest variance are not blown up beyond it: they are mostly noise."""


def whitened(features: Tensor, like: Tensor) -> Tensor:
    """Features (N x D), moved and turned so that those of `like` (M x D) have mean 0 and variance 1 along main axes."""
    x = like.double()
    mean = x.mean(dim=0)
    centred = x - mean
    values, axes = torch.linalg.eigh(centred.T @ centred / max(1, len(x)))
    floor = (values[-1] * LEAST).clamp_min(1e-12)
    moved: Tensor = (features.double() - mean) @ axes / values.clamp_min(floor).sqrt()
    return moved.to(features.dtype)
