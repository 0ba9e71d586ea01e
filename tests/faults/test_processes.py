"""Processes that are killed, stopped or hang under torchrun, for real."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from jobs import FLAGS, start, state, steps, told, wait_for_step, workers


@pytest.fixture(scope="module")
def data(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.npy"
    np.save(path, digits[0][:480])
    return path


@pytest.fixture(scope="module")
def undisturbed(data, made_once):
    """A run of four processes that nobody disturbed: one epoch of thirty steps."""

    def make(folder):
        assert start(4, data, folder / "run", "--epochs", "1").wait(200) == 0, told(folder / "run")

    return made_once("undisturbed", make) / "run"


def test_kill_9_of_one_of_four_in_mid_step_brings_the_job_back_by_itself_to_a_bit_equal_end(
    data, undisturbed, tmp_path
):
    out = tmp_path / "run"
    job = start(4, data, out, "--epochs", "1", "--machine.checkpoint-seconds", "0.2", restarts=2)
    wait_for_step(job, out, 7)
    os.kill(workers(job)[2], signal.SIGKILL)
    assert job.wait(200) == 0, told(out)
    assert re.search(r"going on from step \d+ of 30", told(out))
    assert steps(out) == steps(undisturbed)
    a, b = state(out), state(undisturbed)
    for part in ("model", "dictionary"):
        assert all(torch.equal(a[part][name], b[part][name]) for name in b[part])


def test_sigterm_saves_ends_with_143_and_one_process_goes_on_in_mid_epoch(data, undisturbed, tmp_path):
    out = tmp_path / "run"
    job = start(2, data, out, "--epochs", "1")
    wait_for_step(job, out, 5)
    for pid in workers(job).values():  # as a scheduler does it: to every process
        os.kill(pid, signal.SIGTERM)
    job.wait(100)
    assert set(re.findall(r"exitcode\s*: (\d+)", told(out))) == {"143"}
    assert told(out).count("stopped and saved at step") == 1
    step = state(out)["step"]
    assert 5 <= step < 30
    command = [sys.executable, "-m", "moco", "pretrain", "v2", "--data", data, "--out", out, "--epochs", "1", *FLAGS]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"going on from step {step} of 30" in done.stdout
    ours, theirs = steps(out), steps(undisturbed)
    assert [s for s, _ in ours] == [s for s, _ in theirs]
    near = step + 2  # with ReLU, rounding grows later on
    assert np.allclose([loss for _, loss in ours[:near]], [loss for _, loss in theirs[:near]], atol=1e-2)


def test_a_hung_process_is_noticed_and_named(data, tmp_path):
    out = tmp_path / "run"
    job = start(2, data, out, "--epochs", "20", "--machine.timeout-seconds", "5")
    wait_for_step(job, out, 5)
    hung = workers(job)[1]
    os.kill(hung, signal.SIGSTOP)
    since = time.monotonic()
    try:
        while "process 1 of 2 did not answer" not in told(out):
            assert time.monotonic() - since < 40, told(out)
            time.sleep(0.1)
    finally:
        os.kill(hung, signal.SIGCONT)  # so that the launcher need not wait for it to die
        job.wait(100)
    assert job.returncode != 0
