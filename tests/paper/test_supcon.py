"""SupCon (arXiv:2004.11362), equation 2, written out query by query, beside the loss with several positives."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from moco.ops.info_nce import Alike, Contrast, info_nce, info_nce_plain

TAU = 0.2


def unit(*shape: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def outside_of_the_logarithm(q, keys, others, mine, theirs):
    """sum_i -1/|P(i)| sum_{p in P(i)} log exp(z_i.z_p/tau) / sum_{a in A(i)} exp(z_i.z_a/tau), the mean over i.

    A(i) are the positives of query i and all keys of other groups.
    """
    total = torch.zeros((), dtype=q.dtype)
    for i in range(len(q)):
        negatives = [others[j] for j in range(len(others)) if theirs[j] != mine[i]]
        every = sum(torch.exp(q[i] @ a / TAU) for a in [*keys[i], *negatives])
        total = total - sum(torch.log(torch.exp(q[i] @ p / TAU) / every) for p in keys[i]) / len(keys[i])
    return total / len(q)


@pytest.mark.parametrize("positives", [1, 2, 4])
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("chunk", [1 << 19, 30])
def test_values_and_gradients_are_those_of_equation_2_without_images_of_the_group(positives, held, chunk, monkeypatch):
    monkeypatch.setattr("moco.ops.info_nce._CHUNK", chunk)
    q, keys, others = unit(6, 16, seed=0), unit(6, positives, 16, seed=1), unit(40, 16, seed=2)
    mine, theirs = torch.tensor([0, 1, 2, 3, 0, 9]), torch.arange(40) % 5 - 1
    count = torch.zeros(6, 40) if held else None
    found = []
    for loss in (
        lambda a: outside_of_the_logarithm(a, keys, others, mine.tolist(), theirs.tolist()),
        lambda a: info_nce(a, Contrast(keys.squeeze(1), others, count, alike=Alike(mine, theirs)), TAU).loss,
        lambda a: info_nce_plain(a.float(), Contrast(keys.float(), others, count, alike=Alike(mine, theirs)), TAU),
    ):
        leaf = q.clone().requires_grad_()
        value = loss(leaf)
        value.backward()
        found.append((value.detach().double(), leaf.grad))
    for value, gradient in found[1:]:
        torch.testing.assert_close(value, found[0][0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("held", [False, True])
def test_the_readings_are_over_the_negatives_that_are_left(held):
    q, keys, others = unit(3, 8, seed=0).float(), unit(3, 2, 8, seed=1).float(), unit(10, 8, seed=2).float()
    others[4] = q[1]
    mine, theirs = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 5, 5, 1, 2, 2, 7, 7, -1])
    count = torch.zeros(3, 10) if held else None
    found = info_nce(q, Contrast(keys, others, count, alike=Alike(mine, theirs)), TAU)
    counts = mine[:, None] != theirs
    similar, positive = q @ others.T, torch.einsum("nc,npc->np", q, keys)
    own_means = torch.stack([row[count].mean() for row, count in zip(similar, counts, strict=True)])
    torch.testing.assert_close(found.negative, own_means.mean())
    hardest = similar.masked_fill(~counts, -2).amax(dim=1, keepdim=True)
    torch.testing.assert_close(found.accuracy, (positive > hardest).float().mean())
    torch.testing.assert_close(found.positive, positive.mean())


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("positives", [1, 3])
def test_a_query_whose_negatives_are_all_of_its_group_has_no_loss_from_them_and_no_gradient_that_is_not_a_number(
    held, positives
):
    q, keys, others = unit(2, 8, seed=0).float(), unit(2, positives, 8, seed=1).float(), unit(5, 8, seed=2).float()
    leaf = q.clone().requires_grad_()
    alike = Alike(torch.tensor([1, 2]), torch.ones(5, dtype=torch.int64))
    count = torch.zeros(2, 5) if held else None
    found = info_nce(leaf, Contrast(keys.squeeze(1), others, count, alike=alike), TAU)
    found.loss.backward()
    assert all(value.isfinite() for value in found)
    assert leaf.grad.isfinite().all()
    if positives == 1:
        assert (leaf.grad[0] == 0).all(), "nothing but its own positive is in its sum"


def test_at_chance_p_positives_among_k_negatives_cost_the_logarithm_of_their_number():
    q = F.normalize(torch.ones(2, 8), dim=1)
    found = info_nce(q, Contrast(q[:, None].expand(2, 4, 8), q[:1].expand(60, 8)), TAU)
    assert found.loss.item() == pytest.approx(math.log(64), rel=1e-5)
