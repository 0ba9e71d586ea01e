"""The memory bank (InstDisc, arXiv:1805.01978; v1, section 3.2; facts 1.7), by loops, against our recipe."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain import CPU, noise, smooth_
from scipy.stats import chisquare
from torch.nn import functional as F

from moco.dictionary import MemoryBank, build_dictionary
from moco.ops.draw import integers, stream
from moco.recipe import Bank, memory_bank
from moco.training import build_training, train_step
from moco.two_views import Views

IMAGES, N, K, GROUP = 24, 8, 50, 4


def recipe_of():
    encoder = replace(memory_bank().encoder, backbone="resnet10w8", stem="small", dim=16, norm_group=GROUP)
    return replace(memory_bank(), encoder=encoder, dictionary=Bank(size=K), image_size=16, batch=N, epochs=200, seed=5)


class InstDisc:
    """One vector per image. No key encoder, no gradient into the bank."""

    def __init__(self, t):
        self.f = copy.deepcopy(t.model.query_encoder)
        self.bank = t.dictionary.entries.clone()
        self.sgd = torch.optim.SGD(self.f.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)

    def step(self, x, index, step):
        v = torch.cat([self.f(x[gpu : gpu + GROUP]) for gpu in range(0, N, GROUP)])
        drawn = integers(IMAGES, 5, stream("bank"), step, np.arange(K))  # of all images, with replacement
        losses = []
        for n in range(N):
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


def test_eight_steps_are_those_of_instance_discrimination():
    t = build_training(recipe_of(), IMAGES, CPU)
    smooth_(t.model)
    paper = InstDisc(t)
    for step in range(8):
        b = noise(N, IMAGES, step)
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
    b = noise(N, IMAGES, 0)
    train_step(t, b)
    moved = (t.dictionary.entries != before).any(dim=1)
    assert sorted(b.index.tolist()) == moved.nonzero().flatten().tolist()
    torch.testing.assert_close(t.dictionary.entries.norm(dim=1), torch.ones(IMAGES))


def drawn(images, k, steps):
    """How often each image is a negative in each of so many steps: steps x images."""
    bank = build_dictionary(replace(recipe_of(), dictionary=Bank(size=k)), images, torch.Generator())
    q = torch.randn(4, 16)
    counts = []
    for step in range(steps):
        others = bank.look_up(q, q, torch.arange(4), step).others
        counts.append((torch.cdist(others, bank.entries) < 1e-3).sum(dim=0))
    return torch.stack(counts).double()


def test_a_step_has_exactly_k_negatives_of_the_bank():
    torch.testing.assert_close(drawn(30, 77, 3).sum(dim=1), torch.full((3,), 77.0).double())


def test_the_negatives_are_uniform_over_the_bank_the_positives_included():
    count = drawn(40, 400, 100)
    assert 1e-3 < chisquare(count.sum(dim=0).numpy()).pvalue < 1 - 1e-3
    own = count[:, :4].sum()
    assert own == pytest.approx(100 * 400 * 4 / 40, rel=0.1)


def test_single_counts_vary_as_draws_with_replacement_do():
    count = drawn(40, 400, 100)
    expected = 400 * (1 / 40) * (1 - 1 / 40)
    assert count.var().item() == pytest.approx(expected, rel=0.1)


def test_every_step_draws_anew():
    assert len(drawn(40, 400, 12).unique(dim=0)) == 12


def test_a_step_takes_no_memory_for_the_images_it_does_not_draw():
    """A bank of as many images as ImageNet, of one number each: the dictionary of a mini-batch is K entries."""
    bank = MemoryBank(1_281_167, K, 1, 0.5, 0, torch.Generator())
    q = torch.ones(N, 1)
    contrast = bank.look_up(q, q, torch.arange(N), 0)
    assert contrast.others.shape == (K, 1)
    assert contrast.log_count is None


def test_the_second_view_that_no_key_needs_is_not_drawn_and_the_first_is_the_same():
    t = build_training(recipe_of(), IMAGES, CPU)
    b = noise(N, IMAGES)
    both, one = Views(t.recipe), t.views
    x_q, x_k = one(b.pixels, b.sizes, b.index, 0)
    assert x_k is x_q
    assert torch.equal(x_q, both(b.pixels, b.sizes, b.index, 0)[0])
    image = b.pixels[0].permute(1, 2, 0).numpy()
    assert one.cut(image, 0, 3).shape == (1, 3, 16, 16)
    assert torch.equal(one.cut(image, 0, 3)[0], both.cut(image, 0, 3)[0])
    crops = torch.stack(
        [both.cut(p.permute(1, 2, 0).numpy(), 0, int(i)) for p, i in zip(b.pixels, b.index, strict=True)]
    )
    assert torch.equal(one.finish(crops[:, :1], b.index, 0)[0], both.finish(crops, b.index, 0)[0])
