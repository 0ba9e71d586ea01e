"""Functions of one's own that are called while a run goes on: when, with what, and that nothing they do changes it."""

import json

import pytest
import torch

import moco
from moco.commands.pretrain import pretrain
from moco.machine import Machine
from moco.recipe import override, v2
from moco.watching import sorted_out

RECIPE = override(
    v2(),
    {
        "encoder.backbone": "resnet10w8",
        "encoder.stem": "small",
        "encoder.norm_group": 8,
        "image_size": 16,
        "batch": 16,
        "epochs": 3,
        "dictionary.size": 32,
    },
)
MACHINE = Machine(device="cpu", precision="fp32", threads=1, workers=1, log_every=1, watch_every=1)


class Notes:
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)

    def __getattr__(self, name):
        return lambda *given: lambda *more: None


@pytest.fixture
def images(digits, tmp_path):
    import numpy as np

    path = tmp_path / "digits.npy"
    np.save(path, digits[0][:64])
    return path


def rows(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def losses(run):
    return [row["loss"] for row in rows(run) if "loss" in row]


def test_a_function_is_called_before_after_each_look_and_at_the_end_and_changes_nothing(images, tmp_path):
    moments = []

    def spoils(moment):
        moments.append((moment.step, moment.steps, moment.epoch, moment.out, str(moment.device)))
        assert not moment.encoder.training
        assert not torch.is_grad_enabled()
        torch.rand(100)
        moment.encoder.requires_grad_(False)
        features = moment.encoder.backbone(torch.zeros(2, moment.preprocess.channels, 16, 16))
        return {"norm": float(features.norm()), "of": moment.step, "nothing": float("nan")}

    def keeps_quiet(moment):
        return None

    pretrain(images, tmp_path / "alone", RECIPE, machine=MACHINE, until=3)
    pretrain(images, tmp_path / "watched", RECIPE, machine=MACHINE, until=3, watch=[spoils, keeps_quiet])
    out = tmp_path / "watched"
    assert moments == [(4 * epoch, 12, epoch, out, "cpu") for epoch in range(4)]
    assert losses(tmp_path / "alone") == losses(out)
    own = [row for row in rows(out) if "norm" in row]
    assert [row["of"] for row in own] == [0, 4, 8, 12]
    assert not any("nothing" in row for row in own), "JSON has no numbers that are not finite"
    assert rows(tmp_path / "alone")[-1]["step"] == rows(out)[-1]["step"]


def test_an_exception_is_told_once_and_the_run_goes_on_without_the_function(images, tmp_path):
    calls, others, tell = [], [], Notes()

    def breaks(moment):
        calls.append(moment.step)
        if moment.step:
            raise KeyError("accuracy")

    def takes_a_taken_name(moment):
        return {"loss": 0.0}

    def returns_a_number(moment):
        return 3

    def still_there(moment):
        others.append(moment.step)

    watch = [breaks, takes_a_taken_name, returns_a_number, still_there]
    pretrain(images, tmp_path / "run", RECIPE, machine=MACHINE, until=3, watch=watch, tell=tell)
    assert calls == [0, 4]
    assert others == [0, 4, 8, 12]
    assert len(losses(tmp_path / "run")) == 12
    said = [line for line in tell.said if line.startswith("watch: ")]
    assert len(said) == 3
    broken = next(line for line in said if "breaks" in line)
    assert "failed at step 4 (KeyError: 'accuracy', test_watching.py:" in broken
    assert broken.endswith("; the run goes on without it")
    assert any("'loss', a name that the log has already" in line for line in said)
    assert any("it returned a int; return a dict of numbers" in line for line in said)


def test_ctrl_c_in_a_function_ends_the_run(images, tmp_path):
    def stops(moment):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(images, tmp_path / "run", RECIPE, machine=MACHINE, until=3, watch=stops)


def test_labelled_images_and_functions_are_told_apart(tmp_path):
    def function(moment):
        return None

    assert sorted_out(None) == (None, ())
    assert sorted_out("labelled") == ("labelled", ())
    assert sorted_out(function) == (None, (function,))
    assert sorted_out([tmp_path, function, print]) == (tmp_path, (function, print))
    assert moco.Moment.__dataclass_fields__.keys() >= {"step", "steps", "epoch", "encoder", "preprocess", "device"}
