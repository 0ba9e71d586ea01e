"""The memory bank (InstDisc, arXiv:1805.01978; v1, section 3.2; facts 1.7), by loops, against our recipe."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import nn
from torch.nn import functional as F

from moco.data.loader import Batch
from moco.device import Placement
from moco.dictionary import build_dictionary
from moco.ops.draw import integers, stream
from moco.recipe import Bank, memory_bank
from moco.training import build_training, train_step

IMAGES, N, K, GROUP = 24, 8, 50, 4
CPU = Placement(torch.device("cpu"), bf16=False, channels_last=False, threads=1, reason="")


def recipe_of():
    encoder = replace(memory_bank().encoder, backbone="resnet10w8", stem="small", dim=16, norm_group=GROUP)
    return replace(memory_bank(), encoder=encoder, dictionary=Bank(size=K), image_size=16, batch=N, epochs=200, seed=5)


def batch(step):
    rng = np.random.default_rng(step)
    images = torch.from_numpy(rng.integers(0, 256, (N, 3, 20, 20), dtype=np.uint8))
    return Batch(images, np.full((N, 2), 20), rng.permutation(IMAGES)[:N], 0, {})


class InstDisc:
    """One vector per image. No key encoder, no gradient into the bank."""

    def __init__(self, t):
        self.f = copy.deepcopy(t.model.query_encoder)
        self.bank = t.dictionary.entries.clone()
        self.sgd = torch.optim.SGD(self.f.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)

    def step(self, x, index, step):
        v = torch.cat([self.f(x[gpu : gpu + GROUP]) for gpu in range(0, N, GROUP)])
        losses = []
        for n in range(N):
            drawn = integers(IMAGES, 5, stream("bank"), step, n, np.arange(K))  # of all images, with replacement
            scores = [v[n] @ self.bank[index[n]], *(v[n] @ self.bank[j] for j in drawn)]
            losses.append(F.cross_entropy(torch.stack(scores)[None] / 0.07, torch.tensor([0])))
        loss = torch.stack(losses).mean()
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()
        for n in range(N):
            w = 0.5 * self.bank[index[n]] + 0.5 * v[n].detach()
            self.bank[index[n]] = w / w.norm()
        return loss.item()


def smooth_(encoder):
    """ReLU replaced by SiLU: without kinks, two fp32 runs stay together."""
    for module in list(encoder.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.SiLU())


def test_eight_steps_are_those_of_instance_discrimination():
    t = build_training(recipe_of(), IMAGES, CPU)
    smooth_(t.model)
    paper = InstDisc(t)
    for step in range(8):
        b = batch(step)
        x, _ = t.views(b.pixels, b.sizes, b.index, 0)
        assert train_step(t, b).loss.item() == pytest.approx(paper.step(x, b.index, step), rel=2e-5)
        torch.testing.assert_close(t.dictionary.entries, paper.bank, rtol=2e-5, atol=2e-5)
    for ours, theirs in zip(t.model.query_encoder.parameters(), paper.f.parameters(), strict=True):
        torch.testing.assert_close(ours.data, theirs.data, rtol=2e-5, atol=2e-5)


def test_nothing_encodes_keys():
    t = build_training(recipe_of(), IMAGES, CPU)
    assert t.model.key_encoder is None


def test_the_bank_gets_no_gradient():
    t = build_training(recipe_of(), IMAGES, CPU)
    assert not t.dictionary.entries.requires_grad
    q = F.normalize(torch.randn(N, 16), dim=1).requires_grad_()
    contrast = t.dictionary.look_up(q, q, torch.arange(N), 0)
    assert not contrast.key.requires_grad
    assert not contrast.others.requires_grad
    t.dictionary.update(q, q, torch.arange(N))
    assert not t.dictionary.entries.requires_grad


def test_only_the_entries_of_the_batch_move_and_stay_unit_vectors():
    t = build_training(recipe_of(), IMAGES, CPU)
    before = t.dictionary.entries.clone()
    b = batch(0)
    train_step(t, b)
    moved = (t.dictionary.entries != before).any(dim=1)
    assert sorted(b.index.tolist()) == moved.nonzero().flatten().tolist()
    torch.testing.assert_close(t.dictionary.entries.norm(dim=1), torch.ones(IMAGES))


def drawn(images, k, n, steps):
    """How often each image is a negative: steps x N x images."""
    bank = build_dictionary(replace(recipe_of(), dictionary=Bank(size=k)), images, torch.Generator())
    q = torch.randn(n, 16)
    return torch.stack([bank.look_up(q, q, torch.arange(n), step).log_count.exp() for step in range(steps)])


def test_each_query_has_exactly_k_negatives():
    torch.testing.assert_close(drawn(30, 77, 4, 3).sum(dim=2), torch.full((3, 4), 77.0))


def test_the_negatives_are_uniform_over_the_bank_the_positive_included():
    count = drawn(40, 400, 32, 10)
    assert 1e-3 < chisquare(count.sum(dim=(0, 1)).numpy()).pvalue < 1 - 1e-3
    own = torch.stack([count[:, i, i] for i in range(32)]).sum()
    assert own == pytest.approx(10 * 32 * 400 / 40, rel=0.1)


def test_single_counts_vary_as_draws_with_replacement_do():
    count = drawn(40, 400, 32, 10)
    expected = 400 * (1 / 40) * (1 - 1 / 40)
    assert count.var().item() == pytest.approx(expected, rel=0.05)


def test_every_query_and_every_step_draws_anew():
    rows = drawn(40, 400, 4, 3).flatten(0, 1)
    assert len(rows.unique(dim=0)) == 12
