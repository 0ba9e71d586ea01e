"""A run that dies goes on as if nothing had happened: bit for bit, whatever the number of workers."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from moco.commands.pretrain import pretrain
from moco.data.decide import Asked
from moco.machine import Machine
from moco.recipe import RECIPES, Batch, override
from moco.run.stop import Stopped

SMALL = {
    "encoder.backbone": "resnet10w8",
    "encoder.stem": "small",
    "image_size": 16,
    "batch": 16,
    "epochs": 4,
    "encoder.dim": 16,
}
FAST = Machine(device="cpu", precision="fp32", workers=1, log_every=1, checkpoint_seconds=1e9)


def small(name, **more):
    recipe = RECIPES[name]()
    changes = dict(SMALL)
    if recipe.encoder.norm_group is not None:
        changes["encoder.norm_group"] = 4
    if not isinstance(recipe.dictionary, Batch):
        changes["dictionary.size"] = 40
    if recipe.predictor is not None:
        changes |= {"encoder.head_width": 24, "predictor.width": 24, "optim.lr": 1e-3}
    if recipe.encoder.frozen_patches:
        changes |= {"encoder.backbone": "vit2w16p4s16h2", "encoder.stem": "imagenet"}
        changes |= {"query_view.keep": 0.5, "query_view.erase": 0.5}
    return override(recipe, changes | more)


def rows(path):
    keep = ("step", "epoch", "loss", "accuracy", "positive", "negative", "lr", "rank", "alignment", "uniformity")
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    return [{k: row[k] for k in keep if k in row} for row in lines]


def state(path):
    return torch.load(path / "checkpoints" / "last.pt", weights_only=True)


def assert_equal(a, b, where="state"):
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}.{i}")
    else:
        assert a == b, where


class StopAt:
    """Sends this process the signal of a Ctrl-C when a step has been logged."""

    def __init__(self, step):
        self.step = step

    def row(self, row, step, steps, seconds_left):
        if row.get("step") == self.step and "loss" in row:
            os.kill(os.getpid(), signal.SIGINT)

    def note(self, text):
        pass

    def choices(self, choices):
        pass

    def reading(self, what, total):
        return lambda done: None


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "image-text"])  # tests/test_commands_captions.py
def test_every_recipe_goes_on_bit_for_bit_after_ctrl_c_in_mid_epoch(name, digits_file, tmp_path, hears_ctrl_c):
    recipe = small(name, epochs=1)
    pretrain(digits_file, tmp_path / "whole", recipe, machine=FAST)
    with pytest.raises(Stopped):
        pretrain(digits_file, tmp_path / "cut", recipe, machine=FAST, tell=StopAt(17))
    assert state(tmp_path / "cut")["step"] == 17
    pretrain(digits_file, tmp_path / "cut", recipe, machine=FAST)
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")
    assert_equal(state(tmp_path / "whole"), state(tmp_path / "cut"))


def test_files_read_by_any_number_of_workers_give_the_same_run(digits, tmp_path):
    (tmp_path / "images").mkdir()
    for i, image in enumerate(digits[0][:64]):
        Image.fromarray(image).resize((300, 280)).save(tmp_path / "images" / f"{i:03}.png")
    (tmp_path / "images" / "007.png").write_bytes(b"not an image")
    recipe = small("v2", epochs=2)
    machine = {n: Machine(device="cpu", precision="fp32", workers=n, log_every=1, max_skipped=0.1) for n in (0, 2)}
    for n in machine:
        pretrain(tmp_path / "images", tmp_path / f"run{n}", recipe, machine=machine[n])
    assert rows(tmp_path / "run0") == rows(tmp_path / "run2")
    assert_equal(state(tmp_path / "run0"), state(tmp_path / "run2"))
    for n in machine:
        assert (tmp_path / f"run{n}" / "skipped.txt").read_text() == "007.png\ttext, not an image\n"


def test_a_run_on_files_goes_on_bit_for_bit_with_another_number_of_workers(digits, tmp_path, hears_ctrl_c):
    (tmp_path / "images").mkdir()
    for i, image in enumerate(digits[0][:48]):
        Image.fromarray(image).resize((300, 280)).save(tmp_path / "images" / f"{i:03}.png")
    recipe = small("v2", epochs=2)
    machine = {n: Machine(device="cpu", precision="fp32", workers=n, log_every=1) for n in (0, 2)}
    pretrain(tmp_path / "images", tmp_path / "whole", recipe, machine=machine[0])
    with pytest.raises(Stopped):
        pretrain(tmp_path / "images", tmp_path / "cut", recipe, machine=machine[2], tell=StopAt(4))
    assert state(tmp_path / "cut")["step"] == 4
    pretrain(tmp_path / "images", tmp_path / "cut", recipe, machine=machine[0])
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")
    assert_equal(state(tmp_path / "whole"), state(tmp_path / "cut"))


def test_bf16_goes_on_bit_for_bit(digits, tmp_path, hears_ctrl_c):
    np.save(tmp_path / "digits.npy", digits[0][:64])
    recipe = small("v2", epochs=2)
    machine = Machine(device="cpu", precision="bf16", workers=1, log_every=1)
    pretrain(tmp_path / "digits.npy", tmp_path / "whole", recipe, machine=machine)
    with pytest.raises(Stopped):
        pretrain(tmp_path / "digits.npy", tmp_path / "cut", recipe, machine=machine, tell=StopAt(3))
    pretrain(tmp_path / "digits.npy", tmp_path / "cut", recipe, machine=machine)
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")
    assert_equal(state(tmp_path / "whole"), state(tmp_path / "cut"))


def test_kill_9_at_any_moment_loses_nothing_but_time(digits_file, tmp_path):
    """Killed again and again while it writes checkpoints as fast as it can; 120 steps then equal those of one go."""
    command = [
        sys.executable, "-m", "moco", "pretrain", "v2", "--data", str(digits_file),
        "--encoder.backbone", "resnet10w8", "--encoder.stem", "small", "--image-size", "16", "--batch", "16",
        "--epochs", "4", "--encoder.dim", "16", "--encoder.norm-group", "4", "--dictionary.size", "40",
        "--machine.device", "cpu", "--machine.precision", "fp32", "--machine.log-every", "1", "--machine.workers", "1",
        "--machine.checkpoint-seconds", "0.01",
    ]  # fmt: skip
    cut = tmp_path / "cut"
    kills = 0
    for wait_for in (3, 41, 77):
        process = subprocess.Popen([*command, "--out", str(cut)], stdout=subprocess.DEVNULL)
        while process.poll() is None and steps_logged(cut) < wait_for:
            time.sleep(0.01)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills == 3
    subprocess.run([*command, "--out", str(cut)], check=True, stdout=subprocess.DEVNULL)
    pretrain(digits_file, tmp_path / "whole", small("v2"), machine=FAST)
    assert rows(cut) == rows(tmp_path / "whole")
    assert len([row for row in rows(cut) if "loss" in row]) == 120
    assert_equal(state(cut), state(tmp_path / "whole"))


def steps_logged(path):
    log = path / "log.jsonl"
    return log.read_text().count('"loss"') if log.exists() else 0


def test_memory_and_workers_see_the_same_images(digits, tmp_path):
    """Small images kept in memory or cut by workers: the same draws, so nearly the same losses."""
    np.save(tmp_path / "digits.npy", digits[0][:64])
    recipe = small("v2", epochs=1)
    three = Asked(bands="rgb")  # of which the mean averages the rounding out
    pretrain(tmp_path / "digits.npy", tmp_path / "memory", recipe, machine=FAST, asked=three)
    streamed = Machine(device="cpu", precision="fp32", workers=0, log_every=1, memory_gib=0)
    pretrain(tmp_path / "digits.npy", tmp_path / "workers", recipe, machine=streamed, asked=three)
    a, b = ([r["loss"] for r in rows(tmp_path / name) if "loss" in r] for name in ("memory", "workers"))
    assert abs(a[0] - b[0]) < 1e-3  # later steps add up the rounding of crops to 8 bits
    assert np.allclose(a, b, atol=0.1)
