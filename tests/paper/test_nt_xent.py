"""NT-Xent (SimCLR, arXiv:2002.05709, equation 1 and algorithm 1), from the textbook, against the recipe simclr."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain import CPU
from torch.nn import functional as F

from moco.data.loader import Batch
from moco.dictionary import build_dictionary
from moco.ops.info_nce import info_nce
from moco.recipe import Encoder, simclr
from moco.training import build_training, train_step


def nt_xent(z, tau):
    """z: 2N x C, where 2k and 2k + 1 are the two views of image k."""
    rows = len(z)
    s = [[z[i] @ z[j] / (z[i].norm() * z[j].norm()) for j in range(rows)] for i in range(rows)]

    def ell(i, j):
        return -torch.log(torch.exp(s[i][j] / tau) / sum(torch.exp(s[i][k] / tau) for k in range(rows) if k != i))

    return sum(ell(2 * k, 2 * k + 1) + ell(2 * k + 1, 2 * k) for k in range(rows // 2)) / rows


def interleave(a, b):
    return torch.stack([a, b], dim=1).flatten(0, 1)


def recipe_of(n=6):
    encoder = replace(simclr().encoder, backbone="resnet10w8", stem="small", dim=16)
    assert isinstance(encoder, Encoder)
    return replace(simclr(), encoder=encoder, image_size=16, batch=n)


def recipe_loss(recipe, a, b):
    dictionary = build_dictionary(recipe, 100, torch.Generator())
    halves = [
        info_nce(q, dictionary.look_up(q, k, torch.arange(len(q)), 0), recipe.loss.temperature).loss
        for q, k in ((a, b), (b, a))
    ]
    return sum(halves) / 2


@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_loss_and_its_gradients_are_nt_xent(n):
    recipe = recipe_of(n)
    raw = torch.randn(2, n, 5, generator=torch.Generator().manual_seed(n)).double()
    grads, losses = [], []
    for compute in (
        lambda a, b: recipe_loss(recipe, F.normalize(a, dim=1), F.normalize(b, dim=1)),
        lambda a, b: nt_xent(interleave(a, b), recipe.loss.temperature),
    ):
        leaf = raw.clone().requires_grad_()
        loss = compute(leaf[0], leaf[1])
        loss.backward()
        losses.append(loss.item())
        grads.append(leaf.grad)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-5)


def test_a_step_of_simclr_descends_nt_xent():
    t = build_training(recipe_of(6), 60, CPU)
    encoder = copy.deepcopy(t.model.query_encoder)
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (6, 3, 20, 20), dtype=np.uint8))
    batch = Batch(pixels, np.full((6, 2), 20), np.arange(6), 0, {})
    x_1, x_2 = t.views(batch.pixels, batch.sizes, batch.index, 0)

    loss = nt_xent(interleave(encoder(x_1), encoder(x_2)), 0.1)
    loss.backward()
    assert train_step(t, batch).loss.item() == pytest.approx(loss.item(), rel=1e-5)
    for ours, theirs in zip(t.model.query_encoder.parameters(), encoder.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)


def test_a_query_is_contrasted_with_both_views_of_the_other_images_and_no_view_of_its_own():
    recipe = recipe_of(4)
    a, b = (F.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    contrast = build_dictionary(recipe, 100, torch.Generator()).look_up(a, b, torch.arange(4), 0)
    assert (contrast.log_count.exp().sum(dim=1) == 2 * 4 - 2).all()
    for i in range(4):
        own = (contrast.others == a[i]).all(dim=1) | (contrast.others == b[i]).all(dim=1)
        assert own.sum() == 2
        assert (contrast.log_count[i][own] == -math.inf).all()
        assert (contrast.log_count[i][~own] == 0).all()
