"""The momentum update (v1, equation 2) and why it is fp32 (facts, trap 16)."""

from __future__ import annotations

import pytest
import torch

from moco.ops.momentum import momentum_update_, momentum_update_plain_


def parameters(seed):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=g) for shape in ((3,), (4, 5), (2, 3, 3, 3), ())]


@pytest.mark.parametrize("m", [0.0, 0.5, 0.99, 0.999, 1.0])
def test_fast_is_plain(m):
    a, b, query = parameters(0), parameters(0), parameters(1)
    for _ in range(5):
        momentum_update_(a, query, m)
        momentum_update_plain_(b, query, m)
    for ours, theirs in zip(a, b, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_it_is_equation_2_by_hand():
    key, query = [torch.tensor([1.0])], [torch.tensor([3.0])]
    momentum_update_(key, query, 0.9)
    assert key[0].item() == pytest.approx(0.9 * 1 + 0.1 * 3)
    assert query[0].item() == 3


def test_m_0_copies_and_m_1_keeps():
    key, query = parameters(0), parameters(1)
    momentum_update_(key, query, 1.0)
    for a, b in zip(key, parameters(0), strict=True):
        assert torch.equal(a, b)
    momentum_update_(key, query, 0.0)
    for a, b in zip(key, query, strict=True):
        assert torch.equal(a, b)


def test_parameters_with_gradients_are_read_and_get_none():
    key, query = [torch.nn.Parameter(torch.ones(3), requires_grad=False)], [torch.nn.Parameter(torch.zeros(3))]
    momentum_update_(key, query, 0.5)
    assert query[0].grad is None
    assert not key[0].requires_grad
    torch.testing.assert_close(key[0].data, torch.full((3,), 0.5))


def test_in_fp32_a_weight_arrives_where_in_bf16_it_never_moves():
    """Trap 16: from 1.0 towards 1.1 with m 0.999, each move is below half a bf16 ulp."""
    query = torch.tensor([1.1])
    exact, half = [torch.tensor([1.0])], [torch.tensor([1.0], dtype=torch.bfloat16)]
    for _ in range(5000):
        momentum_update_(exact, [query], 0.999)
        momentum_update_plain_(half, [query.bfloat16()], 0.999)
    assert exact[0].item() == pytest.approx(1.0993, abs=1e-4)
    assert half[0].item() == 1.0


def test_one_update_moves_fp32_by_less_than_half_a_bf16_ulp():
    key = [torch.tensor([1.0])]
    momentum_update_(key, [torch.tensor([1.1])], 0.999)
    assert 0 < key[0].item() - 1 < 2**-8
    assert key[0].item() == pytest.approx(1.0001, abs=1e-6)


def test_half_precision_is_refused():
    for dtype in (torch.bfloat16, torch.float16):
        with pytest.raises(AssertionError):
            momentum_update_([torch.ones(1, dtype=dtype)], [torch.ones(1, dtype=dtype)], 0.999)
