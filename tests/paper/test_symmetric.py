"""The symmetric loss of the official CIFAR-10 demo (facts 1.11): both losses added, one update, then both key sets."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from plain import CPU, noise, on_gpus, smooth_
from torch.nn import functional as F

from moco.ops.draw import permutation, stream
from moco.recipe import Encoder, InfoNCE, Queue, cifar
from moco.training import build_training, train_step

IMAGES, N, K, GROUP, T, M, LR, DECAY = 48, 8, 32, 4, 0.1, 0.99, 0.06, 5e-4


def training(halves="sum"):
    recipe = replace(
        cifar(),
        encoder=Encoder(backbone="resnet10w8", stem="small", dim=16, norm_group=GROUP),
        dictionary=Queue(size=K),
        loss=InfoNCE(temperature=T, symmetric=True, halves=halves),
        image_size=16,
        batch=N,
        epochs=100,
    )
    t = build_training(recipe, IMAGES, CPU)
    smooth_(t.model)
    return t


class Demo:
    """The model of the official notebook, its momentum update at the end of the step, as in Algorithm 1."""

    def __init__(self, t):
        self.f_q = copy.deepcopy(t.model.query_encoder)
        self.f_k = copy.deepcopy(t.model.query_encoder).requires_grad_(False)
        self.queue = [key.clone() for key in t.dictionary.keys]  # oldest first
        self.sgd = torch.optim.SGD(self.f_q.parameters(), lr=LR, momentum=0.9, weight_decay=DECAY)

    def contrastive_loss(self, im_q, im_k, shuffle):
        q = on_gpus(self.f_q, im_q, GROUP)
        k = on_gpus(self.f_k, im_k[shuffle], GROUP)[torch.argsort(shuffle)].detach()
        losses = []
        for n in range(N):
            logits = torch.stack([q[n] @ k[n], *(q[n] @ other for other in self.queue)]) / T
            losses.append(F.cross_entropy(logits[None], torch.tensor([0])))
        return torch.stack(losses).mean(), k

    def step(self, im1, im2, lr, shuffles):
        loss_12, k2 = self.contrastive_loss(im1, im2, shuffles[0])
        loss_21, k1 = self.contrastive_loss(im2, im1, shuffles[1])
        loss = loss_12 + loss_21
        self.sgd.param_groups[0]["lr"] = lr
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()
        with torch.no_grad():
            for p_k, p_q in zip(self.f_k.parameters(), self.f_q.parameters(), strict=True):
                p_k.copy_(M * p_k + (1 - M) * p_q)
        self.queue = [*self.queue, *k1, *k2][2 * N :]
        return loss.item()


def run(steps):
    t = training()
    demo = Demo(t)
    losses = []
    for step in range(steps):
        b = noise(N, IMAGES, step)
        im1, im2 = t.views(b.pixels, b.sizes, b.index, b.epoch)
        shuffles = [torch.from_numpy(permutation(N, 0, stream("shuffle"), step, half)) for half in (0, 1)]
        lr = t.lr
        losses.append((train_step(t, b).loss.item(), demo.step(im1, im2, lr, shuffles)))
    return t, demo, losses


def in_order(dictionary):
    """The keys of a ring, oldest first."""
    return torch.roll(dictionary.keys, -int(dictionary.pointer), dims=0)


def test_the_gradient_is_of_the_sum_of_both_losses():
    t, demo, losses = run(1)
    for (name, ours), theirs in zip(t.model.query_encoder.named_parameters(), demo.f_q.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert losses[0][0] * 2 == pytest.approx(losses[0][1], rel=1e-5), "what is shown is the mean: comparable to chance"


def test_the_first_step_enqueues_the_keys_of_view_1_and_then_those_of_view_2():
    t, demo, _ = run(1)
    torch.testing.assert_close(in_order(t.dictionary), torch.stack(demo.queue), rtol=1e-5, atol=1e-5)


def test_one_step_enqueues_the_keys_of_both_views():
    t, demo, _ = run(1)
    assert int(t.dictionary.pointer) == 2 * N
    similar = t.dictionary.keys[: 2 * N] @ torch.stack(demo.queue[-2 * N :]).T
    assert (similar.amax(dim=0) > 0.9999).all()


def test_ten_steps_are_those_of_the_official_demo():
    """One momentum update a step, and no key enqueued before both losses: either slip changes the second loss."""
    t, demo, losses = run(10)
    for ours, theirs in losses:
        assert 2 * ours == pytest.approx(theirs, rel=2e-5)
    for encoder, oracle in ((t.model.query_encoder, demo.f_q), (t.model.key_encoder, demo.f_k)):
        for ours, theirs in zip(encoder.parameters(), oracle.parameters(), strict=True):
            torch.testing.assert_close(ours.data, theirs.data, rtol=2e-5, atol=2e-5)


def test_halves_mean_gives_half_the_gradient():
    grads = []
    for halves in ("sum", "mean"):
        t = training(halves)
        train_step(t, noise(N, IMAGES, 0))
        grads.append([p.grad for p in t.model.query_encoder.parameters()])
    for whole, half in zip(*grads, strict=True):
        torch.testing.assert_close(whole, 2 * half, rtol=1e-5, atol=1e-6)
