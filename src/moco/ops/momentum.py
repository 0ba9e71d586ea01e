"""The momentum update (v1, equation 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def momentum_update_(key: Sequence[Tensor], query: Sequence[Tensor], m: float) -> None:
    """theta_k <- m theta_k + (1 - m) theta_q, for all parameters at once.

    The parameters must be fp32: in half precision the steps of (1 - m) fall below the rounding and nothing moves.
    """
    assert all(k.dtype == torch.float32 for k in key)
    torch._foreach_mul_(list(key), m)
    torch._foreach_add_(list(key), list(query), alpha=1 - m)


@torch.no_grad()
def momentum_update_plain_(key: Sequence[Tensor], query: Sequence[Tensor], m: float) -> None:
    """The same, one parameter after the other."""
    for k, q in zip(key, query, strict=True):
        k.copy_(m * k + (1 - m) * q)
