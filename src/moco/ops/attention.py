"""Attention: torch's own, and by three plain products where that is quicker.

Torch's kernel for a CPU takes four times as long and more in bf16, gradients included, as the products do
(`benchmarks/vit.py attention`); on GPUs and in fp32 it is the quicker one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def attention(q: Tensor, k: Tensor, v: Tensor, there: Tensor | None = None) -> Tensor:
    """What each query (N x heads x T x D) sees in the values of keys; of those alone that are `there`, if it is given.

    `there` is of bool and broadcasts to N x heads x T x T; each query needs a key.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        return attention_by_products(q, k, v, there)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=there)


def attention_by_products(q: Tensor, k: Tensor, v: Tensor, there: Tensor | None = None) -> Tensor:
    """The same, with all scores (N x heads x T x T) at once."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if there is not None:
        scores = scores.masked_fill(~there, -torch.inf)
    seen: Tensor = scores.softmax(dim=-1) @ v
    return seen
