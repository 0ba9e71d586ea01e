"""Fast forms: taken only where they are right and faster, else left out in one line; no trace in what is saved."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from torch import nn

from moco import fast
from moco.commands.pretrain import pretrain
from moco.device import place
from moco.encoder import Encoder
from moco.fast import Form, agree, attempt, choose_fast
from moco.machine import Machine
from moco.model import encode
from moco.ops.batch_norm import GroupBatchNorm
from moco.recipe import override, v2
from moco.training import build_training

CPU = torch.device("cpu")
TINY = {
    "encoder.backbone": "resnet10w8",
    "encoder.stem": "small",
    "encoder.norm_group": 4,
    "encoder.dim": 16,
    "dictionary.size": 64,
    "image_size": 16,
    "batch": 32,
    "epochs": 2,
    "knn.k": 20,
}


def form(values, cost=(3, 1)):
    """A form that gives these values, and whether it is set; its plain twin gives ones and takes cost[0]."""
    state = {"fast": False}

    def sample():
        matrix = torch.ones(160, 160)
        for _ in range(40 * cost[state["fast"]]):
            matrix @ matrix
        return values() if state["fast"] else [torch.ones(3), torch.zeros(2)]

    return Form(
        name="it",
        says="the form",
        use=lambda: state.update(fast=True),
        leave=lambda: state.update(fast=False),
        sample=sample,
    ), state


def fails():
    raise RuntimeError("no compiler\nand much more")


@pytest.mark.parametrize(
    ("values", "cost", "insist", "used", "says"),
    [
        (lambda: [torch.ones(3), torch.zeros(2)], (9, 1), False, True, "times the speed of the plain form"),
        (lambda: [torch.ones(3), torch.zeros(2)], (1, 9), False, False, "is no faster here"),
        (lambda: [torch.ones(3), torch.zeros(2)], (1, 9), True, True, "ready after"),
        (lambda: [torch.ones(3), torch.ones(2)], (9, 1), True, False, "gives other values here: left out"),
        (lambda: [torch.ones(4), torch.zeros(2)], (9, 1), True, False, "gives other values here: left out"),
        (lambda: [torch.full((3,), torch.nan), torch.zeros(2)], (9, 1), True, False, "other values"),
        (fails, (9, 1), True, False, "does not run here (RuntimeError: no compiler): left out"),
    ],
    ids=["faster", "slower", "asked for", "wrong", "of another shape", "nan", "fails"],
)
def test_a_form_is_taken_only_if_it_is_right_and_faster_or_asked_for(values, cost, insist, used, says):
    it, state = form(values, cost)
    found = attempt(it, CPU, insist)
    assert found.used == state["fast"] == used
    assert says in found.says
    assert "\n" not in found.says


def test_rounding_is_measured_by_what_the_plain_form_errs():
    exact = [torch.ones(1000), torch.full((1000,), 1e-6)]
    plain = [torch.full((1000,), 1.05), torch.full((1000,), 5e-5)]
    assert agree([torch.full((1000,), 0.91), torch.zeros(1000)], plain, exact)
    assert not agree([torch.full((1000,), 0.87), torch.zeros(1000)], plain, exact)
    assert not agree([torch.full((1000,), 0.91), torch.zeros(1000)], exact, exact)


def training(**changes):
    recipe = override(v2(), TINY | changes)
    return build_training(recipe, images=480, placement=place(Machine(device="cpu", precision="fp32", threads=1)))


def state_of(t):
    return {name: value.clone() for name, value in t.model.state_dict().items()}


def test_on_a_cpu_batchnorm_has_kernels_of_its_own_and_nothing_else_is_tried_unless_asked_for(monkeypatch):
    t = training()
    used, says = choose_fast(t, "auto", None, 1, fails)
    assert (used, says.partition(",")[0]) == (["norms"], "compiled BatchNorm over groups")
    norms = [m for m in t.model.modules() if isinstance(m, GroupBatchNorm)]
    assert {norm.form for norm in norms} == {"kernels"}
    assert t.model.encode is encode
    for asked, kept in (("off", None), ("auto", [])):
        t = training()
        assert choose_fast(t, asked, kept, 1000, fails) == ([], "")
    in_nchw = training()
    in_nchw.placement = dataclasses.replace(in_nchw.placement, channels_last=False)
    assert choose_fast(in_nchw, "auto", None, 1000, fails) == ([], ""), "the kernels take channels_last alone"
    monkeypatch.setattr(fast, "has_norm_kernels", lambda: False)
    assert choose_fast(training(), "auto", None, 1000, fails) == ([], ""), "without Numba"


@pytest.mark.parametrize("wrong", [1.0, float("nan")])
def test_kernels_that_err_are_left_out(monkeypatch, wrong):
    from moco.ops import fused_norm

    right = fused_norm.backward
    monkeypatch.setattr(fused_norm, "backward", lambda *given: tuple(g + wrong for g in right(*given)))
    t = training()
    used, says = choose_fast(t, "auto", None, 1000, fails)
    assert (used, says) == ([], "compiled BatchNorm over groups gives other values here: left out")
    assert {m.form for m in t.model.modules() if isinstance(m, GroupBatchNorm)} == {"groups"}


@pytest.mark.parametrize(("steps", "tried"), [(2, False), (10**9, True)])
def test_a_run_too_short_for_the_warm_up_does_without_and_says_so(monkeypatch, steps, tried):
    slow = dataclasses.replace(form(lambda: [torch.ones(3), torch.zeros(2)], (9, 1))[0], warm_up=60.0)
    monkeypatch.setattr(fast, "_encoders", lambda t, asked: slow)
    monkeypatch.setattr(fast, "has_norm_kernels", lambda: False)
    used, says = choose_fast(training(), "auto", None, steps, lambda text: None)
    assert used == (["it"] if tried else [])
    assert ("left out" in says) != tried


def aot():
    """What torch.compile sees and differentiates, run by torch's own kernels: needs no compiler for the machine."""
    return torch.compile(encode, backend="aot_eager", dynamic=False, fullgraph=True)


def test_grouped_batchnorm_is_compiled_whole_and_the_trial_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(fast, "compiled_encode", aot)
    t = training()
    before, said = state_of(t), []
    assert choose_fast(t, "on", None, 1, said.append)[0] == ["encoders"]
    assert said == ["compiling (compiled encoders), once a run: this takes about 60 s"]
    assert t.model.encode is not encode
    after = state_of(t)
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.grad is None for p in t.model.parameters())


def test_a_run_that_goes_on_uses_the_forms_it_used_and_saves_the_same_names(monkeypatch, digits_file, tmp_path):
    monkeypatch.setattr(fast, "compiled_encode", aot)
    recipe = override(v2(), TINY)
    machine = Machine(device="cpu", precision="fp32", threads=1, workers=1)
    run = tmp_path / "run"
    pretrain(digits_file, run, recipe, machine=Machine(**(vars(machine) | {"compile": "on"})), until=1)
    assert json.loads((run / "machine.json").read_text())["fast"] == ["encoders"]
    names = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["model"].keys()
    assert names == training().model.state_dict().keys()
    shutil.copytree(run, tmp_path / "plain")

    tried = []

    def attempted(form, device, insist):
        tried.append((form.name, insist))
        return fast.Tried(False, "")

    monkeypatch.setattr(fast, "attempt", attempted)
    monkeypatch.setattr(fast, "_encoders", lambda t, asked: form(list)[0] if asked != "off" else None)
    pretrain(digits_file, run, recipe, machine=machine, until=2)
    assert tried == [], "a form of another name was not used"
    (tmp_path / "plain" / "machine.json").write_text('{"fast": ["it"]}')
    pretrain(digits_file, tmp_path / "plain", recipe, machine=machine, until=2)
    assert tried == [("it", True)]


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_torch_compile_on_this_machine_gives_the_same_values_and_gradients():
    t = training()
    for name in ("query_encoder", "key_encoder"):
        body = nn.Sequential(nn.Conv2d(3, 4, 3), GroupBatchNorm(nn.BatchNorm2d(4), 4), nn.AdaptiveAvgPool2d(1))
        setattr(t.model, name, Encoder(nn.Sequential(body, nn.Flatten()), nn.Linear(4, 16)))
    t.model.key_encoder.requires_grad_(False)
    used, says = choose_fast(t, "on", None, 1, lambda text: None)
    assert used == ["encoders"], says
