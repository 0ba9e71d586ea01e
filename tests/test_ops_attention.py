"""Attention by products is torch's own: values and gradients, with and without a mask, in fp32 and in bf16."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from moco.ops.attention import attention, attention_by_products


def drawn(dtype, tokens=17):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 2, tokens, 8, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


def answer_and_gradients(attend, of, there):
    seen = attend(*of, there)
    weight = torch.randn(seen.shape, generator=torch.Generator().manual_seed(1))
    return [seen, *torch.autograd.grad((seen.float() * weight).sum(), of)]


def torchs(q, k, v, there):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=there)


MASK = torch.arange(17) < torch.tensor([17, 5, 1])[:, None]
MASKS = [None, MASK[:, None, None, :]]


@pytest.mark.parametrize("there", MASKS, ids=["all", "some"])
def test_products_are_torchs_attention_in_values_and_gradients(there):
    of = drawn(torch.float32)
    for ours, theirs in zip(
        *(answer_and_gradients(way, of, there) for way in (attention_by_products, torchs)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("there", MASKS, ids=["all", "some"])
def test_bf16_on_a_cpu_stays_bf16_and_near_what_fp32_finds(there):
    rounded = drawn(torch.bfloat16)
    exact = answer_and_gradients(torchs, [x.detach().float().requires_grad_() for x in rounded], there)
    for ours, one in zip(answer_and_gradients(attention, rounded, there), exact, strict=True):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.float(), one, rtol=0.02, atol=0.02 * float(one.detach().abs().max()))


def test_where_torchs_is_quicker_it_is_torchs_to_the_bit():
    of = drawn(torch.float32)
    torch.testing.assert_close(attention(*of), torchs(*of, None), rtol=0, atol=0)
