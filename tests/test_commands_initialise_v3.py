"""A run of MoCo v3's official code goes on here, step by step as it would there; its encoder alone starts another."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
import torch
from paper.plain import smooth_
from torch import nn
from torch.nn import functional as F

from moco.backbones import make_backbone
from moco.commands.init import read_init
from moco.commands.initialise import start_from_
from moco.data.loader import Batch
from moco.device import place
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import RECIPES, override
from moco.recipe.vit import vit_name
from moco.run.load import load
from moco.training import build_training, train_step
from moco.vit import ViT

N, C, HIDDEN, IMAGES, EPOCHS, PER_EPOCH = 8, 16, 24, 32, 4, 4
VIT, RESNET = "vit2w16p4s16", "resnet10w8"
RECIPE = {VIT: "v3-vit", RESNET: "v3"}
RATE = {VIT: 1e-3, RESNET: 0.5}
TEMPERATURE = {VIT: 0.2, RESNET: 1.0}
BOTH = pytest.mark.parametrize("backbone", [VIT, RESNET], ids=["ViT, AdamW", "ResNet, LARS"])
SMALL = {
    "encoder.dim": C,
    "encoder.head_width": HIDDEN,
    "predictor.width": HIDDEN,
    "image_size": 16,
    "batch": N,
    "epochs": EPOCHS,
    "schedule.warmup_epochs": 1.0,
}


def begun(init=None, backbone=VIT, **changes):
    """A training, what was said, and what was recorded."""
    small = SMALL | {"encoder.backbone": backbone, "optim.lr": RATE[backbone]}
    t = build_training(
        override(RECIPES[RECIPE[backbone]](), small | changes),
        IMAGES,
        place(Machine(device="cpu", precision="fp32", threads=1)),
    )
    said = []
    record = start_from_(t, init, said.append) if init is not None else {}
    return t, said, record


def batch(step):
    pixels = torch.randint(0, 256, (N, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(step))
    epoch, at = divmod(step, PER_EPOCH)
    return Batch(pixels, np.full((N, 2), 20), np.arange(N) + N * at, epoch, {})


def mlp(layers, into, out, last=True):
    """The official `_build_mlp`: no biases, BatchNorm and ReLU between, BatchNorm without weights at the end."""
    parts = []
    for n in range(layers):
        ends = n == layers - 1
        parts += [nn.Linear(into if n == 0 else HIDDEN, out if ends else HIDDEN, bias=False)]
        if not ends:
            parts += [nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True)]
        elif last:
            parts += [nn.BatchNorm1d(out, affine=False)]
    return nn.Sequential(*parts)


class BaseViT(ViT):
    """The official ViT: its projector is its head."""

    def __init__(self):
        super().__init__(vit_name(VIT))
        self.patch_embed.proj.requires_grad_(False)
        self.head = mlp(3, 16, C)

    def forward(self, x):
        return self.head(super().forward(x))


def base_resnet():
    """The official ResNet, which is torchvision's: its projector is its fc."""
    net = make_backbone(RESNET)
    net.fc = mlp(2, 64, C)
    return net


class LARS(torch.optim.Optimizer):
    """The official solver of ResNets: no adaptation and decay for vectors, the rate before the velocity `mu`."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.0, "weight_decay": 1e-6, "momentum": 0.9, "trust_coefficient": 0.001})

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in (p for p in g["params"] if p.grad is not None):
                dp = p.grad
                if p.ndim > 1:
                    dp = dp.add(p, alpha=g["weight_decay"])
                    dp = dp.mul(g["trust_coefficient"] * p.norm() / dp.norm())
                mu = self.state[p].setdefault("mu", torch.zeros_like(p))
                mu.mul_(g["momentum"]).add_(dp)
                p.add_(mu, alpha=-g["lr"])


class Builder(nn.Module):
    """The official builder on one process: the momentum encoder is updated before it encodes."""

    def __init__(self, backbone):
        super().__init__()
        torch.manual_seed(5)
        self.base_encoder = BaseViT() if backbone == VIT else base_resnet()
        self.momentum_encoder = copy.deepcopy(self.base_encoder).requires_grad_(False)
        self.predictor = mlp(2, C, C, last=backbone == VIT)
        self.tau = TEMPERATURE[backbone]

    def contrast(self, q, k):
        logits = F.normalize(q, dim=1) @ F.normalize(k, dim=1).T / self.tau
        return nn.CrossEntropyLoss()(logits, torch.arange(N)) * 2 * self.tau

    def forward(self, x1, x2, m):
        q1, q2 = self.predictor(self.base_encoder(x1)), self.predictor(self.base_encoder(x2))
        with torch.no_grad():
            for p_b, p_m in zip(self.base_encoder.parameters(), self.momentum_encoder.parameters(), strict=True):
                p_m.data = p_m.data * m + p_b.data * (1 - m)
            k1, k2 = self.momentum_encoder(x1), self.momentum_encoder(x2)
        return self.contrast(q1, k2) + self.contrast(q2, k1)


def official_step(net, solver, views, step, rate):
    epoch = step / PER_EPOCH
    share = epoch if epoch < 1 else 0.5 * (1 + math.cos(math.pi * (epoch - 1) / (EPOCHS - 1)))
    for group in solver.param_groups:
        group["lr"] = rate * share
    loss = net(*views, m=1 - 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS)) * 0.01)
    solver.zero_grad()
    loss.backward()
    solver.step()
    return float(loss.detach()) / (4 * net.tau)


def views(t, step):
    b = batch(step)
    return t.views(b.pixels, b.sizes, b.index, b.epoch)


def official_checkpoint(path, steps, backbone=VIT):
    """The official arithmetic for so many steps, saved as main_moco.py does it; the net and its solver."""
    t, _, _ = begun(backbone=backbone)
    net = Builder(backbone).train()
    smooth_(net)
    solver = torch.optim.AdamW(net.parameters(), weight_decay=0.1) if backbone == VIT else LARS(net.parameters())
    for step in range(steps):
        official_step(net, solver, views(t, step), step, RATE[backbone])
    names = {f"module.{name}": tensor for name, tensor in net.state_dict().items()}
    arch = "vit_small" if backbone == VIT else "resnet50"
    content = {"epoch": steps // PER_EPOCH, "arch": arch, "state_dict": names, "scaler": {"scale": 65536.0}}
    torch.save(content | {"optimizer": solver.state_dict()}, path)
    return net, solver


@BOTH
def test_an_official_run_goes_on_with_the_official_arithmetic(backbone, tmp_path):
    net, solver = official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", 2 * PER_EPOCH, backbone)
    t, said, record = begun(read_official(tmp_path), backbone)
    smooth_(t.model)
    assert t.step == 2 * PER_EPOCH
    assert "going on as the run it was, at epoch 3 (step 8)" in said[0]
    assert record["taken"] == ["both encoders", "the predictor", "the solver", "epoch 2"]
    before = {name: p.detach().clone() for name, p in net.base_encoder.named_parameters()}
    for step in range(2 * PER_EPOCH, 2 * PER_EPOCH + 4):
        official = official_step(net, solver, views(t, step), step, RATE[backbone])
        assert float(train_step(t, batch(step)).loss) == pytest.approx(official, rel=2e-5 if backbone == VIT else 2e-4)
    for name, p in net.base_encoder.named_parameters():
        ours = re.sub(r"^(head|fc)\.", "head.", name) if name.startswith(("head.", "fc.")) else f"backbone.{name}"
        found = t.model.query_encoder.get_parameter(ours).data
        if backbone == VIT and not name.endswith("qkv.bias") and name != "norm.bias":  # Adam moves them by rounding
            torch.testing.assert_close(found, p.data, rtol=1e-3, atol=1e-4)
        elif backbone == RESNET and p.ndim > 1:
            assert (found - p.data).norm() < 0.02 * (p.data - before[name]).norm(), name


def test_the_velocity_of_lars_is_taken_over(tmp_path):
    net, solver = official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", PER_EPOCH, RESNET)
    t, _, _ = begun(read_official(tmp_path), RESNET)
    weight = t.model.query_encoder.get_parameter("backbone.conv1.weight")
    assert torch.equal(t.optimizer.state[weight]["velocity"], solver.state[net.base_encoder.conv1.weight]["mu"])
    assert t.optimizer.state[weight]["velocity"].norm() > 0


def read_official(folder):
    return read_init(str(folder / "checkpoint_0001.pth.tar"))


@BOTH
def test_what_the_file_says_becomes_the_recipe(backbone, tmp_path):
    official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", 1, backbone)
    network = {"encoder.backbone": backbone, "encoder.stem": "imagenet"}
    shapes = {"encoder.dim": C, "encoder.head_layers": 3 if backbone == VIT else 2, "encoder.head_width": HIDDEN}
    shapes |= {"predictor.layers": 2, "predictor.width": HIDDEN}
    init = read_official(tmp_path)
    assert init.fields(RECIPES[RECIPE[backbone]](), {}) == network | shapes
    assert init.fields(RECIPES["v2"](), {}) == network


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder.frozen_patches": False}, "its solver trains other parameters"),
        ({"predictor.width": 8}, "its predictor is another"),
        ({"encoder.head_width": 8}, "its backbone or head is another"),
    ],
)
def test_a_state_that_does_not_fit_is_not_gone_on_with_and_that_is_said(changes, words, tmp_path):
    official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", PER_EPOCH)
    t, said, _ = begun(read_official(tmp_path), **changes)
    assert t.step == 0
    assert words in said[0]
    assert "taken the backbone" in said[1]


def test_the_end_of_an_official_run_has_nothing_left_to_do(tmp_path):
    official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", EPOCHS * PER_EPOCH)
    with pytest.raises(MocoError, match=r"end of epoch 4 and --epochs is 4.*module\.base_encoder"):
        begun(read_official(tmp_path))


def test_a_resnet_is_not_gone_on_with_by_another_solver(tmp_path):
    official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", PER_EPOCH, RESNET)
    t, said, _ = begun(read_official(tmp_path), RESNET, **{"optim.rate": "inside"})
    assert t.step == 0
    assert "its solver is LARS (--optim.rate outside)" in said[0]


def test_the_encoder_alone_opens_without_timm(tmp_path):
    net, _ = official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", 1)
    encoder, _ = load(tmp_path / "checkpoint_0001.pth.tar")
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(encoder(x), ViT.forward(net.base_encoder.eval(), x))
