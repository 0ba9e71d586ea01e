"""Whitened features: uncorrelated, of variance 1, by the statistics of the images that may be learnt from."""

import torch

from moco.ops.whiten import whitened


def test_features_have_no_correlations_left_and_variance_one():
    torch.manual_seed(0)
    x = torch.randn(500, 6) @ torch.randn(6, 6) + 3
    white = whitened(x, x)
    assert torch.allclose(white.mean(dim=0), torch.zeros(6), atol=1e-4)
    assert torch.allclose(white.T @ white / 500, torch.eye(6), atol=1e-3)


def test_others_are_moved_by_the_same_statistics():
    torch.manual_seed(0)
    x = torch.randn(200, 4) * torch.tensor([9.0, 1.0, 1.0, 0.5])
    both = whitened(torch.cat([x, x + 1]), x)
    assert torch.allclose(both[:200], whitened(x, x), atol=1e-5)
    assert torch.allclose(both[200:] - both[:200], (both[200:] - both[:200])[:1].expand(200, -1), atol=1e-4)


def test_a_direction_without_variance_is_not_blown_up():
    x = torch.zeros(50, 3)
    x[:, 0] = torch.arange(50.0)
    x[:, 1] = 1e-9 * torch.arange(50.0).flip(0)
    assert whitened(x, x)[:, 1:].abs().max() < 2
