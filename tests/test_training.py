"""The step reads nothing back from the device, and is a function of the seed."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from moco.data.loader import Batch
from moco.device import place
from moco.machine import Machine
from moco.recipe import RECIPES, AdamW, override
from moco.training import build_training, train_step

SMALL = {
    "encoder.backbone": "resnet10w8",
    "image_size": 16,
    "batch": 8,
    "epochs": 2,
}
OWN = {
    "v1": {"encoder.norm_group": 4, "dictionary.size": 20},
    "v2": {"encoder.norm_group": 4, "dictionary.size": 20},
    "cifar": {"encoder.norm_group": 4, "dictionary.size": 20, "loss.symmetric": True},
    "memory-bank": {"encoder.norm_group": 4, "dictionary.size": 20},
    "end-to-end": {"encoder.norm_group": 4},
    "simclr": {},
    "v3": {"encoder.head_width": 16, "predictor.width": 16},
    "v3-small": {"encoder.backbone": "vit1w16p4s16h2", "encoder.head_width": 16, "query_view.keep": 0.5},
}


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for a device: reading a number, or a size that depends on numbers."""

    seen: list[str]

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        name = str(function)
        if any(word in name for word in ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal.default")):
            self.seen.append(name)
        return function(*arguments, **(named or {}))


def batch(step, size=8):
    pixels = torch.randint(0, 256, (size, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(step))
    return Batch(pixels, np.full((size, 2), 16), np.arange(size) + 8 * step, 0, {})


def training(name, **changes):
    recipe = override(RECIPES[name](), SMALL | OWN[name] | changes)
    return build_training(recipe, images=64, placement=place(Machine(device="cpu", precision="fp32", threads=1)))


@pytest.mark.parametrize("name", OWN)
def test_a_step_never_waits_for_the_device(name, monkeypatch):
    t = training(name)
    train_step(t, batch(0))  # the optimizer makes its state
    if isinstance(t.recipe.optim, AdamW):
        monkeypatch.setattr(t.optimizer, "step", lambda: None)  # torch's, which keeps its counters on the host
    with Waits() as waits:
        loss = train_step(t, batch(1))
        assert waits.seen == []
        float(loss.loss)
        assert len(waits.seen) == 1, "the count counts"


@pytest.mark.parametrize("name", ["v2", "simclr"])
def test_two_trainings_of_one_seed_are_equal_and_of_another_are_not(name):
    losses = []
    for seed in (0, 0, 1):
        t = training(name, seed=seed)
        losses.append([float(train_step(t, batch(step)).loss) for step in range(3)])
    assert losses[0] == losses[1] != losses[2]


def test_the_rate_of_a_step_is_that_of_the_schedule():
    t = training("v2", **{"optim.lr": 0.5})
    for step in range(16):
        assert t.lr == pytest.approx(0.5 if step < 8 else 0.25)
        train_step(t, batch(step))
        assert t.optimizer.param_groups[0]["lr"] == pytest.approx(0.5 if step < 8 else 0.25)


def test_a_loss_that_is_not_finite_is_noted_with_its_step_and_read_only_when_asked():
    t = training("v2")
    for step in range(4):
        if step == 2:
            with torch.no_grad():
                next(t.model.query_encoder.parameters()).fill_(torch.nan)
        train_step(t, batch(step))
    assert t.bad_step() == 3
    assert not t.finite()


def test_a_restored_training_takes_the_same_next_step():
    a = training("v2")
    for step in range(2):
        train_step(a, batch(step))
    saved = copy.deepcopy(a.state())
    b = training("v2", seed=a.recipe.seed)
    b.restore(saved)
    assert dataclasses.asdict(a.recipe) == dataclasses.asdict(b.recipe)
    assert float(train_step(a, batch(2)).loss) == float(train_step(b, batch(2)).loss)
