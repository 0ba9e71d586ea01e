"""Label-free scores against calculations by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from moco.ops.scores import alignment, effective_rank, lidar, spread, uniformity


def unit(n, c, seed=0):
    return F.normalize(torch.randn(n, c, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("r", [1, 2, 5, 16])
def test_r_equally_strong_orthogonal_directions_have_rank_r(r):
    features = torch.zeros(r * 4, 20)
    for i in range(r * 4):
        features[i, i % r] = 3.0
    assert effective_rank(features).item() == pytest.approx(r, rel=1e-3)


def test_the_rank_is_the_exponential_of_the_entropy_of_the_singular_values():
    features = torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0]))
    entropy = 0.5 * math.log(2) + 0.25 * math.log(4) + 2 * 0.125 * math.log(8)
    assert effective_rank(features).item() == pytest.approx(math.exp(entropy), rel=1e-4)


def test_the_rank_does_not_depend_on_scale_or_rotation():
    features = torch.randn(30, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 9)
    rotation, _ = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))
    expected = effective_rank(features).item()
    assert effective_rank(100 * features @ rotation).item() == pytest.approx(expected, rel=1e-4)


def test_identical_features_have_rank_1_and_zeros_no_error():
    assert effective_rank(torch.ones(10, 5)).item() == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.zeros(10, 5)).isfinite()


def test_the_rank_is_at_most_the_smaller_side():
    for shape in ((8, 100), (100, 8)):
        rank = effective_rank(torch.randn(shape, generator=torch.Generator().manual_seed(0))).item()
        assert 4 < rank <= 8.01


def test_half_precision_features_have_a_rank():
    assert effective_rank(torch.eye(4).bfloat16()).item() == pytest.approx(4, rel=1e-3)


def test_alignment_is_the_mean_squared_distance_of_the_pairs():
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    b = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    assert alignment(a, b).item() == pytest.approx((2 + 0) / 2)
    assert alignment(a, a) == 0
    z, w = unit(50, 8), unit(50, 8, seed=1)
    assert alignment(z, w).item() == pytest.approx((2 - 2 * (z * w).sum(dim=1)).mean().item(), rel=1e-5)


def test_uniformity_is_the_log_of_the_mean_potential_over_pairs():
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    squared = [2, 4, 2]
    expected = math.log(sum(math.exp(-2 * d) for d in squared) / 3)
    assert uniformity(z).item() == pytest.approx(expected, rel=1e-5)


def test_uniformity_is_0_in_one_point_and_lowest_for_evenly_spread_vectors():
    assert uniformity(unit(1, 8).expand(20, 8)).item() == pytest.approx(0, abs=1e-6)
    assert uniformity(unit(1000, 128)).item() == pytest.approx(-3.9, abs=0.05)


def test_spread_is_0_in_one_point_and_1_for_evenly_spread_vectors():
    assert spread(unit(1, 8).expand(20, 8)).item() == pytest.approx(0, abs=1e-6)
    assert spread(torch.cat([torch.eye(2), -torch.eye(2)])).item() == pytest.approx(1)
    assert spread(unit(5000, 64)).item() == pytest.approx(1, abs=0.01)


def plain_lidar(views, delta):
    """Section 4 of the paper, sum by sum."""
    n, q, d = views.shape
    means = [sum(views[i]) / q for i in range(n)]
    whole = sum(means) / n
    s_b, s_w = np.zeros((d, d)), np.zeros((d, d))
    for i in range(n):
        s_b += np.outer(means[i] - whole, means[i] - whole) / n
        for j in range(q):
            s_w += np.outer(views[i, j] - means[i], views[i, j] - means[i]) / (n * q)
    values, vectors = np.linalg.eigh(s_w + delta * np.eye(d))
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    eigenvalues = np.clip(np.linalg.eigvalsh(root @ s_b @ root), 0, None)
    p = eigenvalues / eigenvalues.sum() + 1e-7
    return math.exp(-(p * np.log(p)).sum())


@pytest.mark.parametrize(("n", "q", "d"), [(40, 4, 6), (5, 3, 9)])
def test_lidar_is_the_entropy_of_the_eigenvalues_of_the_lda_matrix(n, q, d):
    rng = np.random.default_rng(0)
    views = (rng.normal(size=(n, 1, d)) * np.arange(1, d + 1) + rng.normal(size=(n, q, d))).astype(np.float32)
    expected = plain_lidar(views.astype(np.float64), 1e-4)
    assert lidar(torch.from_numpy(views)).item() == pytest.approx(expected, rel=1e-6)
    assert 1 < expected < min(n - 1, d) + 0.01


def test_lidar_counts_the_directions_that_tell_images_apart_and_not_those_in_which_views_differ():
    torch.manual_seed(0)
    images, views = torch.zeros(400, 1, 10), torch.zeros(400, 8, 10)
    images[..., :3] = torch.randn(400, 1, 3)
    views[..., 5:] = 100 * torch.randn(400, 8, 5)
    views[..., :3] = 0.1 * torch.randn(400, 8, 3)
    both = images + views
    assert lidar(both).item() == pytest.approx(3, abs=0.05)
    assert effective_rank(both.flatten(0, 1)).item() > 4.5
    assert lidar(torch.ones(20, 4, 5)).isfinite()
