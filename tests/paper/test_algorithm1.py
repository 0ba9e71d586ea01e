"""Algorithm 1 of MoCo (arXiv:1911.05722), transcribed, against `train_step`: 20 steps of v1 and of v2."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain import CPU, on_gpus, smooth_
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from moco.data.loader import Batch
from moco.ops.draw import permutation, stream
from moco.recipe import Queue, Steps, v1, v2
from moco.training import build_training, train_step

IMAGES, N, K, C, GROUP, STEPS_PER_EPOCH, EPOCHS = 64, 16, 40, 24, 4, 4, 5
M = 0.99
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
"""fp32, after 20 steps in which one side sums in another order than the other."""


def recipe_of(base):
    return replace(
        base,
        encoder=replace(base.encoder, backbone="resnet10w8", stem="small", dim=C, norm_group=GROUP),
        keys=replace(base.keys, m=M),
        dictionary=Queue(size=K),
        schedule=Steps(at=(2, 4)) if base.name == "v1" else base.schedule,
        image_size=16,
        batch=N,
        epochs=EPOCHS,
        seed=3,
    )


def batches():
    """20 batches of noisy images, each a fresh slice of a fresh order."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (IMAGES, 3, 20, 20), dtype=np.uint8))
    sizes = np.full((N, 2), 20)
    for epoch in range(EPOCHS):
        order = rng.permutation(IMAGES)
        for s in range(STEPS_PER_EPOCH):
            index = order[s * N : (s + 1) * N]
            yield Batch(images[torch.from_numpy(index)], sizes, index, epoch, {})


class ResNet10(nn.Module):
    """A ResNet of one block a stage, 8 to 64 channels, small stem, ordinary BatchNorm, and the head of v1 or v2."""

    def __init__(self, mlp):
        super().__init__()
        self.relu = nn.ReLU()
        backbone = nn.Module()
        backbone.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        backbone.bn1 = nn.BatchNorm2d(8)
        before = 8
        for stage, (channels, stride) in enumerate([(8, 1), (16, 2), (32, 2), (64, 2)], 1):
            shortcut = None
            if stride == 2:
                shortcut = nn.Sequential(nn.Conv2d(before, channels, 1, 2, bias=False), nn.BatchNorm2d(channels))
            setattr(backbone, f"layer{stage}", nn.Sequential(BasicBlock(before, channels, stride, shortcut)))
            before = channels
        self.backbone = backbone
        self.head = (
            nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, C)) if mlp else nn.Sequential(nn.Linear(64, C))
        )

    def forward(self, x):
        net = self.backbone
        x = self.relu(net.bn1(net.conv1(x)))
        x = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        return self.head(x.mean(dim=(2, 3)))


class Algorithm1:
    """What the paper's pseudocode keeps between steps, and the body of its loop."""

    def __init__(self, weights, queue, *, mlp, t, lr, slip=""):
        self.f_q, self.f_k = ResNet10(mlp), ResNet10(mlp)
        self.f_q.load_state_dict(weights)
        self.f_k.load_state_dict(weights)  # f_k.params = f_q.params
        self.queue, self.pointer, self.t, self.lr = queue.clone(), 0, t, lr
        self.sgd = torch.optim.SGD(self.f_q.parameters(), lr=1.0, momentum=0.9, weight_decay=1e-4)
        self.slip = slip

    def step(self, x_q, x_k, epoch, shuffle):
        q = F.normalize(on_gpus(self.f_q, x_q, GROUP), dim=1)  # queries: N x C
        if self.slip == "no shuffle":
            shuffle = torch.arange(N)
        with torch.no_grad():  # no gradient to keys
            shuffled = F.normalize(on_gpus(self.f_k, x_k[shuffle], GROUP), dim=1)
            k = torch.empty_like(shuffled)
            k[shuffle] = shuffled  # keys: N x C, in the order of their queries
        if self.slip == "enqueue first":
            self.enqueue(k)

        l_pos = torch.bmm(q.view(N, 1, C), k.view(N, C, 1)).view(N, 1)
        l_neg = torch.mm(q.view(N, C), self.queue.T.clone())
        logits = torch.cat([l_pos, l_neg], dim=1)
        labels = torch.zeros(N, dtype=torch.long)  # positives are the 0-th
        loss = nn.CrossEntropyLoss()(logits / self.t, labels)

        self.sgd.param_groups[0]["lr"] = self.lr(epoch)
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()

        with torch.no_grad():
            for p_k, p_q in zip(self.f_k.parameters(), self.f_q.parameters(), strict=True):
                p_k.copy_(M * p_k + (1 - M) * p_q)
        if self.slip != "enqueue first":
            self.enqueue(k)
        return loss.item()

    def enqueue(self, k):
        for key in k:  # first in, first out
            self.queue[self.pointer] = key
            self.pointer = (self.pointer + 1) % K


def lr_v1(epoch):
    return 0.03 if epoch < 2 else 0.003 if epoch < 4 else 0.0003


def lr_v2(epoch):
    return 0.03 * 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS))


def both(base, slip="", smooth=True):
    recipe = recipe_of(base)
    ours = build_training(recipe, IMAGES, CPU)
    weights = {name: w.clone() for name, w in ours.model.query_encoder.state_dict().items()}
    v = base.name
    paper = Algorithm1(
        weights,
        ours.dictionary.keys,
        mlp=v == "v2",
        t={"v1": 0.07, "v2": 0.2}[v],
        lr={"v1": lr_v1, "v2": lr_v2}[v],
        slip=slip,
    )
    if smooth:
        for encoder in (ours.model.query_encoder, ours.model.key_encoder, paper.f_q, paper.f_k):
            smooth_(encoder)
    return ours, paper


def one_step(ours, paper, step, batch):
    """The loss of both, on the same views."""
    x_q, x_k = ours.views(batch.pixels, batch.sizes, batch.index, batch.epoch)
    shuffle = torch.from_numpy(permutation(N, ours.recipe.seed, stream("shuffle"), step, 0))
    return train_step(ours, batch).loss.item(), paper.step(x_q, x_k, batch.epoch, shuffle)


@pytest.mark.parametrize("base", [v1(), v2()], ids=["v1", "v2"])
def test_twenty_steps_are_the_papers_algorithm_1(base):
    ours, paper = both(base)
    for step, batch in enumerate(batches()):
        our_loss, paper_loss = one_step(ours, paper, step, batch)
        assert our_loss == pytest.approx(paper_loss, rel=1e-5), f"loss of step {step}"
        torch.testing.assert_close(ours.dictionary.keys, paper.queue, **CLOSE)
        assert int(ours.dictionary.pointer) == paper.pointer
    assert ours.step == 20
    for encoder, oracle in ((ours.model.query_encoder, paper.f_q), (ours.model.key_encoder, paper.f_k)):
        expected = dict(oracle.named_parameters())
        found = dict(encoder.named_parameters())
        assert found.keys() == expected.keys()
        for name in expected:
            torch.testing.assert_close(
                found[name].data, expected[name].data, **CLOSE, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.mark.parametrize("base", [v1(), v2()], ids=["v1", "v2"])
def test_with_the_papers_relu_the_first_steps_are_the_same(base):
    ours, paper = both(base, smooth=False)
    for step, batch in zip(range(3), batches(), strict=False):
        our_loss, paper_loss = one_step(ours, paper, step, batch)
        assert our_loss == pytest.approx(paper_loss, rel=1e-6 if step == 0 else 1e-3)


@pytest.mark.parametrize("slip", ["no shuffle", "enqueue first"])
def test_the_comparison_notices_a_slip(slip):
    ours, paper = both(v2(), slip)
    losses = [one_step(ours, paper, step, batch) for step, batch in zip(range(3), batches(), strict=False)]
    assert any(our != pytest.approx(paper, rel=1e-3) for our, paper in losses)


@pytest.mark.parametrize("base", [v1(), v2()], ids=["v1", "v2"])
def test_both_encoders_have_moved_and_apart(base):
    ours, _ = both(base)
    start = [p.clone() for p in ours.model.key_encoder.parameters()]
    for batch, _ in zip(batches(), range(3), strict=False):
        train_step(ours, batch)
    for first, k, q in zip(
        start, ours.model.key_encoder.parameters(), ours.model.query_encoder.parameters(), strict=True
    ):
        assert not torch.equal(first, k)
        assert (q - first).norm() > (k - first).norm() > 0
