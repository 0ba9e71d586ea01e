"""Disks that fill, cannot be written to, or lose files in mid-run, for real."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jobs
import numpy as np
import pytest
import torch
from disk import MACHINE, RECIPE
from PIL import Image

from moco.commands.pretrain import pretrain
from moco.commands.tell import Silent
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import override

APART = ["unshare", "--map-root-user", "--mount"]
"""A mount namespace of one's own, which most Linux systems give to anyone."""


@pytest.fixture
def weights(digits_file, tmp_path):
    """What a run that nobody disturbed ends with."""
    pretrain(digits_file, tmp_path / "whole", RECIPE, machine=MACHINE)
    return torch.load(tmp_path / "whole" / "checkpoints" / "last.pt", weights_only=True)["model"]


def test_a_disk_that_fills_and_then_is_read_only_stops_the_run_each_with_a_sentence_and_costs_nothing(
    digits_file, weights, tmp_path
):
    if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system gives no mount namespaces")
    (tmp_path / "disk").mkdir()
    script = [sys.executable, Path(__file__).parent / "disk.py", digits_file, tmp_path / "disk", tmp_path / "kept"]
    done = subprocess.run([*APART, *map(str, script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "filled: No space left on device"
    assert re.fullmatch(
        r"full: .*could not be written: no space left on device\. .*make room, then run the same command.*", said[1]
    )
    assert re.fullmatch(r"read-only: --out .*/run: .*/run cannot be written to; name a folder elsewhere.*", said[2])
    assert said[3:] == ["room: finished"]
    ended = torch.load(tmp_path / "kept" / "checkpoints" / "last.pt", weights_only=True)["model"]
    assert all(torch.equal(ended[name], weights[name]) for name in weights)


class Loses(Silent):
    """Deletes files after step 5, in the second epoch."""

    def __init__(self, files):
        self.files = files

    def row(self, row, step, steps, seconds_left):
        if step == 5 and "loss" in row:
            for file in self.files:
                file.unlink(missing_ok=True)


@pytest.fixture
def folder(digits, tmp_path):
    """64 images, too large to be kept in memory."""
    path = tmp_path / "images"
    path.mkdir()
    for i, image in enumerate(digits[0][:64]):
        Image.fromarray(np.asarray(image)).resize((520, 280)).save(path / f"{i:03}.png")
    return path


FILES = override(RECIPE, {"batch": 16, "epochs": 4})


def test_a_file_that_disappears_in_mid_run_is_skipped_and_listed(folder, tmp_path):
    machine = Machine(**jobs.MACHINE, max_skipped=0.02)
    pretrain(folder, tmp_path / "run", FILES, machine=machine, tell=Loses([folder / "011.png"]))
    assert (tmp_path / "run" / "skipped.txt").read_text() == "011.png\tno such file\n"
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["step"] == 16


class Kills(Silent):
    """Kills the process that decodes images after step 5."""

    def row(self, row, step, steps, seconds_left):
        if step == 5 and "loss" in row:
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)


def test_a_killed_decoder_stops_the_run_with_one_line_and_the_same_call_goes_on(folder, tmp_path):
    machine = Machine(**jobs.MACHINE)
    with pytest.raises(MocoError, match=r"^a process that decodes images was killed, .*$"):
        pretrain(folder, tmp_path / "run", FILES, machine=machine, tell=Kills())
    pretrain(folder, tmp_path / "run", FILES, machine=machine)
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["step"] == 16


@pytest.mark.parametrize(("lost", "why"), [(3, r"[23] of 64 images cannot be read"), (64, "none of the 64 images")])
def test_files_beyond_the_budget_stop_the_run_with_one_line_and_the_last_checkpoint_whole(folder, tmp_path, lost, why):
    machine = Machine(**jobs.MACHINE, max_skipped=0.02)
    with pytest.raises(MocoError, match=why) as told:
        pretrain(folder, tmp_path / "run", FILES, machine=machine, tell=Loses(sorted(folder.iterdir())[:lost]))
    assert len(str(told.value).splitlines()) == 1
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["step"] % 4 == 0
