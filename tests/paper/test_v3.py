"""Algorithm 1 of MoCo v3 (arXiv:2104.02057), transcribed, against `train_step`: ViT with AdamW, ResNet with LARS."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from plain import CPU, noise, smooth_
from torch import nn
from torch.nn import functional as F

from moco.recipe import LARS, AdamW, Cosine, Momentum, Normalize, Predictor, check, v3, v3_small, v3_vit
from moco.training import build_training, train_step

IMAGES, N, C, HIDDEN, STEPS_PER_EPOCH, EPOCHS, STEPS = 48, 12, 16, 24, 4, 5, 10
WARM = 1


def recipe_of(base, backbone, optim):
    return replace(
        base,
        encoder=replace(base.encoder, backbone=backbone, dim=C, head_width=HIDDEN),
        predictor=replace(base.predictor, width=HIDDEN),
        schedule=Cosine(per="step", warmup_epochs=float(WARM)),
        optim=optim,
        image_size=16,
        batch=N,
        epochs=EPOCHS,
        seed=3,
    )


VIT = recipe_of(v3_vit(), "vit2w16p4s16h2", AdamW(lr=1e-3, weight_decay=0.1))
RESNET = recipe_of(v3(), "resnet10w8", LARS(lr=0.5, weight_decay=1e-3, rate="outside"))
BOTH = pytest.mark.parametrize("recipe", [VIT, RESNET], ids=["ViT, AdamW", "ResNet, LARS"])


def plain_vit(weights, x, width=16, heads=2, patch=4, depth=2):
    """The ViT of the paper as sums and products of its weights, one head after the other."""
    w = {name.removeprefix("backbone."): tensor for name, tensor in weights.items()}
    grid = x.shape[-1] // patch
    patches = x.unfold(2, patch, patch).unfold(3, patch, patch).permute(0, 2, 3, 1, 4, 5).reshape(len(x), grid**2, -1)
    tokens = patches @ w["patch_embed.proj.weight"].flatten(1).T + w["patch_embed.proj.bias"]
    places = []
    for row in range(grid):
        for column in range(grid):
            waves = [1 / 10000 ** (i / (width // 4)) for i in range(width // 4)]
            angles = [[place * wave for wave in waves] for place in (row, column)]
            places.append([f(a) for along in angles for f in (math.sin, math.cos) for a in along])
    x = torch.cat([w["cls_token"].expand(len(x), 1, width), tokens + torch.tensor(places)], dim=1)
    for n in range(depth):
        part = {name.removeprefix(f"blocks.{n}."): tensor for name, tensor in w.items()}
        y = F.layer_norm(x, (width,), part["norm1.weight"], part["norm1.bias"], 1e-6)
        q, k, v = (y @ part["attn.qkv.weight"].T + part["attn.qkv.bias"]).chunk(3, dim=2)
        seen = []
        for head in range(heads):
            own = slice(head * width // heads, (head + 1) * width // heads)
            similar = q[..., own] @ k[..., own].transpose(1, 2) / math.sqrt(width // heads)
            seen.append(torch.softmax(similar, dim=2) @ v[..., own])
        x = x + torch.cat(seen, dim=2) @ part["attn.proj.weight"].T + part["attn.proj.bias"]
        y = F.layer_norm(x, (width,), part["norm2.weight"], part["norm2.bias"], 1e-6)
        y = y @ part["mlp.fc1.weight"].T + part["mlp.fc1.bias"]
        y = 0.5 * y * (1 + torch.erf(y / math.sqrt(2)))
        x = x + y @ part["mlp.fc2.weight"].T + part["mlp.fc2.bias"]
    return F.layer_norm(x, (width,), w["norm.weight"], w["norm.bias"], 1e-6)[:, 0]


def mlp(sizes, last):
    """The official `_build_mlp`: no biases, BatchNorm and an activation between, BatchNorm of no weights at the end."""
    layers = []
    for n, (into, out) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(into, out, bias=False))
        if n < len(sizes) - 2:
            layers += [nn.BatchNorm1d(out), nn.ReLU()]
        elif last:
            layers.append(nn.BatchNorm1d(out, affine=False))
    return nn.Sequential(*layers)


class Algorithm1:
    """The loop of the paper: both encoders, the predictor, the solver."""

    def __init__(self, t):
        r, self.vit = t.recipe, t.recipe is VIT
        width = 16 if self.vit else 64
        self.f_q = nn.Module()
        self.f_q.backbone = copy.deepcopy(t.model.query_encoder.backbone)
        self.f_q.head = mlp([width, *[HIDDEN] * (2 if self.vit else 1), C], last=True)
        self.f_q.load_state_dict(t.model.query_encoder.state_dict())
        self.f_k = copy.deepcopy(self.f_q)
        self.predictor = mlp([C, HIDDEN, C], last=self.vit)
        self.predictor.load_state_dict(t.model.predictor.state_dict())
        self.tau, self.m = r.loss.temperature, 0.99
        self.lr = r.optim.lr
        self.trained = [
            *(p for name, p in self.f_q.named_parameters() if name not in FROZEN),
            *self.predictor.parameters(),
        ]
        self.adam = torch.optim.AdamW(self.trained, weight_decay=0.1, foreach=False)
        self.mu = [torch.zeros_like(p) for p in self.trained]

    def f(self, net, x):
        features = plain_vit(dict(net.named_parameters()), x) if self.vit else net.backbone(x)
        return net.head(features)

    def ctr(self, q, k):
        logits = F.normalize(q, dim=1) @ F.normalize(k, dim=1).T  # [N, N] pairs
        labels = torch.arange(N)  # positives are in the diagonal
        return 2 * self.tau * nn.CrossEntropyLoss()(logits / self.tau, labels)

    def step(self, x1, x2, step, slip=""):
        q1, q2 = (self.predictor(self.f(self.f_q, x)) for x in (x1, x2))
        with torch.no_grad():
            k2, k1 = (self.f(self.f_k, x) for x in (x2, x1))
        loss = self.ctr(q1, k2) + self.ctr(q2, k1)
        if slip == "one half":
            loss = 2 * self.ctr(q1, k2)
        for p in self.trained:
            p.grad = None
        loss.backward()
        self.solve(self.rate(step))
        m = self.m if slip == "constant m" else 1 - (1 - self.m) * 0.5 * (1 + math.cos(math.pi * (step + 1) / 20))
        with torch.no_grad():
            for p_k, p_q in zip(self.f_k.parameters(), self.f_q.parameters(), strict=True):
                p_k.copy_(m * p_k + (1 - m) * p_q)
        return loss.item() / (4 * self.tau)

    def rate(self, step):
        epoch = step / STEPS_PER_EPOCH
        if epoch < WARM:
            return self.lr * (step + 1) / (WARM * STEPS_PER_EPOCH)
        return self.lr * 0.5 * (1 + math.cos(math.pi * (epoch - WARM) / (EPOCHS - WARM)))

    @torch.no_grad()
    def solve(self, rate):
        if self.vit:
            self.adam.param_groups[0]["lr"] = rate
            self.adam.step()
            return
        for p, mu in zip(self.trained, self.mu, strict=True):
            dp = p.grad
            if p.ndim > 1:
                dp = dp + 1e-3 * p
                dp = dp * 0.001 * p.norm() / dp.norm()
            mu.copy_(0.9 * mu + dp)
            p.sub_(rate * mu)


FROZEN = {"backbone.pos_embed", "backbone.patch_embed.proj.weight", "backbone.patch_embed.proj.bias"}


def both(recipe):
    ours = build_training(recipe, IMAGES, CPU)
    paper = Algorithm1(ours)
    for part in (ours.model, paper.f_q, paper.f_k, paper.predictor):
        smooth_(part)
    return ours, paper


def one_step(ours, paper, step, slip=""):
    b = replace(noise(N, IMAGES, step), epoch=step // STEPS_PER_EPOCH)
    x1, x2 = ours.views(b.pixels, b.sizes, b.index, b.epoch)
    return train_step(ours, b).loss.item(), paper.step(x1, x2, step, slip)


def weights(net):
    """All but what has no gradient but rounding, of which Adam makes steps: biases that softmax does not see (those of
    attention's keys) or BatchNorm takes off again (that of the last LayerNorm)."""
    parts = [
        torch.cat([p[:16], p[32:]]) if name.endswith("qkv.bias") else p.flatten()
        for name, p in net.named_parameters()
        if name != "backbone.norm.bias"
    ]
    return torch.cat(parts).detach().clone()


@BOTH
def test_ten_steps_are_algorithm_1_of_v3(recipe):
    ours, paper = both(recipe)
    before = {len(w): w for w in (weights(ours.model.query_encoder), weights(ours.model.predictor))}
    for step in range(STEPS):
        our_loss, paper_loss = one_step(ours, paper, step)
        assert our_loss == pytest.approx(paper_loss, rel=1e-4), f"loss of step {step}"
    pairs = [(ours.model.query_encoder, paper.f_q), (ours.model.key_encoder, paper.f_k)]
    for encoder, oracle in [*pairs, (ours.model.predictor, paper.predictor)]:
        assert [name for name, _ in encoder.named_parameters()] == [name for name, _ in oracle.named_parameters()]
        found, expected, start = weights(encoder), weights(oracle), before[len(weights(encoder))]
        moved = (expected - start).norm()
        assert moved > 1e-4 * start.norm()
        assert (found - expected).norm() < 5e-3 * moved


@pytest.mark.parametrize("slip", ["one half", "constant m"])
def test_the_comparison_notices_a_slip(slip):
    ours, paper = both(RESNET)
    for step in range(3):
        one_step(ours, paper, step, slip)
    apart = [
        float((a.data - b.data).abs().max())
        for a, b in zip(ours.model.key_encoder.parameters(), paper.f_k.parameters(), strict=True)
    ]
    assert max(apart) > 1e-4


def test_positions_and_the_projection_of_patches_stay_as_they_were_drawn():
    ours, paper = both(VIT)
    before = {name: p.clone() for name, p in ours.model.query_encoder.named_parameters()}
    for step in range(3):
        one_step(ours, paper, step)
    still = {n for n, p in ours.model.query_encoder.named_parameters() if torch.equal(p, before[n])}
    assert still == FROZEN


def test_v3_is_facts_2_11_and_4_5():
    r = v3()
    assert (r.encoder.backbone, r.encoder.dim, r.encoder.head_layers, r.encoder.head_width) == (
        "resnet50",
        256,
        2,
        4096,
    )
    assert (r.encoder.head_norm, r.encoder.head_end, r.encoder.norm_group) == (True, "plain", None), "SyncBN"
    assert r.predictor == Predictor(layers=2, width=4096, norm_last=False)
    assert r.keys == Momentum(m=0.99, to_one=True, shuffle=False)
    assert (r.loss.temperature, r.loss.symmetric, r.loss.halves, r.loss.scaled) == (1.0, True, "sum", True)
    assert (r.batch, r.epochs, r.image_size) == (4096, 100, 224)
    assert r.optim == LARS(lr=0.6 * 4096 / 256, momentum=0.9, weight_decay=1e-6, trust=0.001, rate="outside")
    assert r.schedule == Cosine(per="step", warmup_epochs=10.0)
    assert r.normalize == Normalize()
    check(r)


def test_v3_vit_is_the_official_vit_small():
    r = v3_vit()
    assert (r.encoder.backbone, r.encoder.head_layers, r.encoder.frozen_patches) == ("vit12w384p16h12", 3, True)
    assert r.predictor == Predictor(layers=2, width=4096, norm_last=True)
    assert r.loss.temperature == 0.2
    assert r.optim == AdamW(lr=1.5e-4 * 4096 / 256, betas=(0.9, 0.999), weight_decay=0.1)
    assert (r.epochs, r.schedule.warmup_epochs) == (300, 40.0)
    check(r)
    check(v3_small())


def test_v3_views_are_those_of_the_released_code():
    for recipe, least in ((v3(), 0.2), (v3_vit(), 0.08)):
        one, two = recipe.query_view, recipe.key_view
        for view in (one, two):
            assert (view.scale, view.flip, view.gray) == ((least, 1.0), 0.5, 0.2)
            jitter = view.jitter
            assert (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue, jitter.p) == (
                0.4,
                0.4,
                0.2,
                0.1,
                0.8,
            )
            assert view.order == ("jitter", "gray", "blur", "solarize")
            assert view.blur.sigma == (0.1, 2.0)
        assert (one.blur.p, one.solarize, two.blur.p, two.solarize) == (1.0, 0.0, 0.1, 0.2)


def test_the_momentum_rises_to_one_by_half_a_cosine():
    t = build_training(RESNET, IMAGES, CPU)
    found = []
    for step in (0, 9, 19):
        t.step = step
        found.append(t.m)
    assert found == pytest.approx([1 - 0.01 * 0.5 * (1 + math.cos(math.pi / 20)), 0.995, 1.0])
