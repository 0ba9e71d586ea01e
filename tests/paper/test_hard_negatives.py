"""Contrastive learning with hard negatives (arXiv:2010.04592), equation 4, written out pair by pair, beside the loss.

With tau+ = 0 the equation's estimate of the negatives' mean is (1/N) sum_i w_i exp(f(x).f(x_i) / t), whose weights are
w_i = exp(beta f(x).f(x_i) / t) over their mean, which is the partition function's estimate. The authors' code holds the
weights constant.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from moco.ops.info_nce import Alike, Contrast, info_nce, info_nce_plain

TAU = 0.1


def unit(*shape: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def equation_4(q, key, others, beta, often=None):
    """The mean over the queries; negative j is there `often[i][j]` times, or once."""
    total = torch.zeros(())
    for i in range(len(q)):
        there = [j for j in range(len(others)) for _ in range(1 if often is None else often[i][j])]
        similar = [q[i] @ others[j] / TAU for j in there]
        weights = [math.exp(beta * float(s.detach())) for s in similar]
        partition = sum(weights) / len(weights) if weights else 1.0
        negatives = sum(w / partition * torch.exp(s) for w, s in zip(weights, similar, strict=True))
        positive = torch.exp(q[i] @ key[i] / TAU)
        total = total - torch.log(positive / (positive + negatives))
    return total / len(q)


def gradient_of(loss, q):
    leaf = q.clone().requires_grad_()
    value = loss(leaf)
    value.backward()
    return value.detach(), leaf.grad


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("chunk", [1 << 19, 30])
def test_values_and_gradients_are_those_of_equation_4(beta, chunk, monkeypatch):
    monkeypatch.setattr("moco.ops.info_nce._CHUNK", chunk)
    q, key, others = unit(6, 16, seed=0), unit(6, 16, seed=1), unit(40, 16, seed=2)
    written = gradient_of(lambda a: equation_4(a, key, others, beta), q)
    once = Contrast(key, others), Contrast(key, others, torch.zeros(6, 40))
    ways = [lambda a, c=c: info_nce(a, c, TAU, hardness=beta).loss for c in once]
    ways += [lambda a: info_nce_plain(a, once[0], TAU, beta)]
    ways += [lambda a: info_nce(a, once[0], torch.tensor(TAU), hardness=beta).loss]
    for way in ways:
        value, gradient = gradient_of(way, q)
        torch.testing.assert_close(value, written[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(gradient, written[1], rtol=1e-4, atol=1e-5)


def test_negatives_that_count_often_or_never_are_weighted_as_so_many():
    q, key, others = unit(3, 16, seed=0), unit(3, 16, seed=1), unit(20, 16, seed=2)
    often = torch.randint(0, 3, (3, 20), generator=torch.Generator().manual_seed(3))
    often[:, 0] = 1
    written = gradient_of(lambda a: equation_4(a, key, others, 1.0, often.tolist()), q)
    contrast = Contrast(key, others, often.float().log())
    value, gradient = gradient_of(lambda a: info_nce(a, contrast, TAU, hardness=1.0).loss, q)
    torch.testing.assert_close(value, written[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, written[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("held", [False, True])
def test_images_of_the_group_are_not_weighed_and_a_query_of_the_only_group_has_no_loss(held):
    q, key, others = unit(3, 16, seed=0), unit(3, 16, seed=1), unit(20, 16, seed=2)
    mine, theirs = torch.tensor([0, 1, 1]), torch.tensor([0] * 5 + [1] * 7 + [2] * 8)
    often = (mine[:, None] != theirs[None]).long().tolist()
    written = gradient_of(lambda a: equation_4(a, key, others, 0.5, often), q)
    contrast = Contrast(key, others, torch.zeros(3, 20) if held else None, alike=Alike(mine, theirs))
    value, gradient = gradient_of(lambda a: info_nce(a, contrast, TAU, hardness=0.5).loss, q)
    torch.testing.assert_close(value, written[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, written[1], rtol=1e-4, atol=1e-5)
    alone = Contrast(key, others, torch.zeros(3, 20) if held else None, alike=Alike(mine, torch.ones(20)))
    value, gradient = gradient_of(lambda a: info_nce(a, alone, TAU, hardness=0.5).loss, q)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    assert gradient[1:].abs().max() == 0


def test_the_hardest_negative_pushes_more_the_larger_beta_is():
    q, key, others = unit(1, 16, seed=0), unit(1, 16, seed=1), unit(40, 16, seed=2)
    hardest = int((q @ others.T).argmax())
    shares = []
    for beta in (0.0, 0.5, 1.0, 4.0):
        leaf = others.clone().requires_grad_()
        info_nce(q, Contrast(key, leaf), TAU, hardness=beta).loss.backward()
        pushes = leaf.grad.norm(dim=1)
        shares.append(float(pushes[hardest] / pushes.sum()))
    assert shares == sorted(shares)
    assert shares[-1] > 1.5 * shares[0]
