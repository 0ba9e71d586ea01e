"""Whether the two views of an image find each other among those of others: the task of contrast, by features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def retrieval_accuracy(a: Tensor, b: Tensor) -> float:
    """Share of the rows of `a` (N x D) whose nearest row of `b` by cosine is their own, and the other way round."""
    similar = F.normalize(a.double(), dim=1) @ F.normalize(b.double(), dim=1).T
    own = torch.arange(len(a), device=a.device)
    return float(torch.cat([similar.argmax(dim=1) == own, similar.argmax(dim=0) == own]).double().mean())
