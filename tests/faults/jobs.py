"""Jobs of several processes under torchrun, and what became of them."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

RECIPE = {
    "encoder.backbone": "resnet10w8",
    "encoder.stem": "small",
    "encoder.dim": 16,
    "encoder.norm_group": 4,
    "dictionary.size": 40,
    "image_size": 16,
    "batch": 16,
}
MACHINE = {"device": "cpu", "precision": "fp32", "threads": 1, "workers": 1, "log_every": 1}
FLAGS = [
    word
    for name, value in {**RECIPE, **{f"machine.{name}": value for name, value in MACHINE.items()}}.items()
    for word in (f"--{name.replace('_', '-')}", str(value))
]


def start(processes, data, out, *flags, restarts=0):
    """moco pretrain under torchrun, in a process group of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts", str(restarts)]
    command += ["--nproc-per-node", str(processes), "-m", "moco", "pretrain", "v2", "--data", data, "--out", out]
    with Path(f"{out}.txt").open("w") as log:
        return subprocess.Popen([*map(str, command), *FLAGS, *flags], stdout=log, stderr=log, start_new_session=True)


def workers(launcher):
    """The process ids of the workers of a launcher, by their number."""
    found = {}
    for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        ranks = [int(v.removeprefix(b"RANK=")) for v in environment if v.startswith(b"RANK=")]
        found |= {rank: int(pid) for rank in ranks}
    return found


def wait_for(true, job, seconds=120):
    """Wait until something is true; the job must not end before."""
    until = time.monotonic() + seconds
    while not true():
        assert job.poll() is None, f"it ended with {job.returncode}"
        if time.monotonic() > until:
            pytest.fail(f"not in {seconds} s")
        time.sleep(0.01)


def wait_for_step(job, out, step):
    log = out / "log.jsonl"
    try:
        wait_for(lambda: log.exists() and log.read_text().count('"loss"') >= step, job)
    except BaseException:
        print(told(out))
        raise


def told(out):
    """What the job printed."""
    return Path(f"{out}.txt").read_text()


def state(out):
    return torch.load(out / "checkpoints" / "last.pt", weights_only=True)


def steps(out):
    """Steps and losses."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]
