"""A run of MoCo v3's official code goes on here, step by step as it would there; its encoder alone starts another."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

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
BACKBONE = "vit2w16p4s16"
SMALL = {
    "encoder.backbone": BACKBONE,
    "encoder.dim": C,
    "encoder.head_width": HIDDEN,
    "predictor.width": HIDDEN,
    "image_size": 16,
    "batch": N,
    "epochs": EPOCHS,
    "optim.lr": 1e-3,
    "schedule.warmup_epochs": 1.0,
}


def begun(init=None, **changes):
    """A training, what was said, and what was recorded."""
    t = build_training(
        override(RECIPES["v3-vit"](), SMALL | changes),
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


class Base(ViT):
    """The official ViT: its projector is its head."""

    def __init__(self):
        super().__init__(vit_name(BACKBONE))
        self.patch_embed.proj.requires_grad_(False)
        layers = [nn.Linear(16, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True)]
        layers += [nn.Linear(HIDDEN, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True)]
        self.head = nn.Sequential(*layers, nn.Linear(HIDDEN, C, bias=False), nn.BatchNorm1d(C, affine=False))

    def forward(self, x):
        return self.head(super().forward(x))


class Builder(nn.Module):
    """The official builder on one process: the momentum encoder is updated before it encodes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.base_encoder = Base()
        self.momentum_encoder = copy.deepcopy(self.base_encoder).requires_grad_(False)
        last = [nn.Linear(HIDDEN, C, bias=False), nn.BatchNorm1d(C, affine=False)]
        first = [nn.Linear(C, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True)]
        self.predictor = nn.Sequential(*first, *last)

    def contrast(self, q, k):
        return nn.CrossEntropyLoss()(F.normalize(q, dim=1) @ F.normalize(k, dim=1).T / 0.2, torch.arange(N)) * 2 * 0.2

    def forward(self, x1, x2, m):
        q1, q2 = self.predictor(self.base_encoder(x1)), self.predictor(self.base_encoder(x2))
        with torch.no_grad():
            for p_b, p_m in zip(self.base_encoder.parameters(), self.momentum_encoder.parameters(), strict=True):
                p_m.data = p_m.data * m + p_b.data * (1 - m)
            k1, k2 = self.momentum_encoder(x1), self.momentum_encoder(x2)
        return self.contrast(q1, k2) + self.contrast(q2, k1)


def official_step(net, solver, views, step):
    epoch = step / PER_EPOCH
    rate = epoch if epoch < 1 else 0.5 * (1 + math.cos(math.pi * (epoch - 1) / (EPOCHS - 1)))
    for group in solver.param_groups:
        group["lr"] = 1e-3 * rate
    loss = net(*views, m=1 - 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS)) * 0.01)
    solver.zero_grad()
    loss.backward()
    solver.step()
    return float(loss.detach()) / (4 * 0.2)


def views(t, step):
    b = batch(step)
    return t.views(b.pixels, b.sizes, b.index, b.epoch)


def official_checkpoint(path, steps):
    """The official arithmetic for so many steps, saved as main_moco.py does it; the net and its solver."""
    t, _, _ = begun()
    net = Builder().train()
    solver = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.1)
    for step in range(steps):
        official_step(net, solver, views(t, step), step)
    names = {f"module.{name}": tensor for name, tensor in net.state_dict().items()}
    content = {"epoch": steps // PER_EPOCH, "arch": "vit_small", "state_dict": names, "scaler": {"scale": 65536.0}}
    torch.save(content | {"optimizer": solver.state_dict()}, path)
    return net, solver


def test_an_official_run_goes_on_with_the_official_arithmetic(tmp_path):
    net, solver = official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", 2 * PER_EPOCH)
    t, said, record = begun(read_official(tmp_path))
    assert t.step == 2 * PER_EPOCH
    assert "going on as the run it was, at epoch 3 (step 8)" in said[0]
    assert record["taken"] == ["both encoders", "the predictor", "the solver", "epoch 2"]
    for step in range(2 * PER_EPOCH, 2 * PER_EPOCH + 4):
        official = official_step(net, solver, views(t, step), step)
        assert float(train_step(t, batch(step)).loss) == pytest.approx(official, rel=2e-5)
    for name, p in net.base_encoder.named_parameters():
        ours = name if name.startswith("head.") else f"backbone.{name}"
        if not name.endswith("qkv.bias") and name != "norm.bias":  # seen by nothing, and moved by Adam's rounding
            torch.testing.assert_close(t.model.query_encoder.get_parameter(ours).data, p.data, rtol=1e-3, atol=1e-4)


def read_official(folder):
    return read_init(str(folder / "checkpoint_0001.pth.tar"))


def test_what_the_file_says_becomes_the_recipe(tmp_path):
    official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", 1)
    shapes = {"encoder.dim": C, "encoder.head_layers": 3, "encoder.head_width": HIDDEN}
    shapes |= {
        "predictor.layers": 2,
        "predictor.width": HIDDEN,
        "encoder.backbone": BACKBONE,
        "encoder.stem": "imagenet",
    }
    init = read_official(tmp_path)
    assert init.fields(RECIPES["v3-vit"](), {}) == shapes
    assert init.fields(RECIPES["v2"](), {}) == {"encoder.backbone": BACKBONE, "encoder.stem": "imagenet"}


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


def test_the_encoder_alone_opens_without_timm(tmp_path):
    net, _ = official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", 1)
    encoder, _ = load(tmp_path / "checkpoint_0001.pth.tar")
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(encoder(x), ViT.forward(net.base_encoder.eval(), x))
