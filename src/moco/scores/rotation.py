"""How well frozen features tell by how many quarter turns an image was turned (SelfAugment, arXiv:2009.07724)."""

from __future__ import annotations

import torch
from torch import Tensor

TURNS = 4

_RIDGE = 1e-2
"""Weight of the penalty, as a share of the mean square of the standardised features; small enough for any width."""


def turned(images: Tensor) -> Tensor:
    """The images (N x C x S x S) in their four quarter turns: 4N x C x S x S, all images unturned first."""
    return torch.cat([torch.rot90(images, turn, (2, 3)) for turn in range(TURNS)])


def rotation_accuracy(features: Tensor) -> float:
    """Share of turns that a linear probe finds in images that it has not seen; chance is 0.25.

    `features` are those of `turned`: 4N x D, unturned first. The probe is least squares with a small penalty on every
    second image, judged on the others, and the other way round: nothing is drawn and nothing is tuned.
    """
    x = features.double().reshape(TURNS, -1, features.shape[1]).transpose(0, 1)  # N x 4 x D
    halves = x[0::2], x[1::2]
    found = [_found(known, judged) for known, judged in (halves, halves[::-1])]
    return float(torch.cat(found).double().mean())


def _found(known: Tensor, judged: Tensor) -> Tensor:
    """For each turn of each judged image, whether it is found."""
    mean, std = known.mean(dim=(0, 1)), known.std(dim=(0, 1)).clamp_min(1e-9)
    a, b = (((x - mean) / std).flatten(0, 1) for x in (known, judged))
    targets = torch.eye(TURNS, dtype=a.dtype, device=a.device).repeat(len(known), 1) - 1 / TURNS
    gram = a.T @ a + _RIDGE * len(a) * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
    weights = torch.linalg.solve(gram, a.T @ targets)
    found: Tensor = (b @ weights).argmax(dim=1) == torch.arange(TURNS, device=a.device).repeat(len(judged))
    return found
