"""The job for a cluster, with stand-ins for the scheduler: told to stop, it waits for the save and queues again."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from moco.cli.parse import parse
from moco.cli.pretrain import Pretrain, starting_recipe

JOB = Path(__file__).parents[2] / "examples" / "cluster.sbatch"
SRUN = """#!/bin/bash
printf '%s\\0' "$@" > {folder}/asked
trap 'sleep 0.3; echo saved >> {folder}/said; exit 1' TERM
touch {folder}/started
[ -e {folder}/ends ] && exit $(cat {folder}/ends)
while :; do sleep 0.05; done
"""
SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then printf 'node1\\nnode2\\n'; else echo "$@" >> {folder}/said; fi
"""


@pytest.fixture
def job(tmp_path):
    """Starts the job."""
    for name, script in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(script.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "USER": "ann"}
    path = f"{tmp_path}:{os.environ['PATH']}"
    return lambda: subprocess.Popen(["bash", str(JOB)], env={**os.environ, **slurm, "PATH": path})


def said(folder):
    return (folder / "said").read_text().splitlines() if (folder / "said").exists() else []


def test_told_to_stop_it_waits_for_the_save_queues_again_and_ends_with_143(job, tmp_path):
    running = job()
    while not (tmp_path / "started").exists():
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    assert running.wait(10) == 143
    assert said(tmp_path) == ["saved", "requeue 7"]


@pytest.mark.parametrize("code", [0, 1])
def test_a_run_that_ended_is_not_queued_again_and_its_code_is_the_jobs(job, tmp_path, code):
    (tmp_path / "ends").write_text(str(code))
    assert job().wait(10) == code
    assert said(tmp_path) == []


def test_what_it_starts_is_a_command_of_this_program(job, tmp_path):
    (tmp_path / "ends").write_text("0")
    job().wait(10)
    asked = (tmp_path / "asked").read_text().split("\0")[:-1]
    assert asked[:3] == ["torchrun", "--nnodes=2", "--nproc-per-node=8"]
    assert "--rdzv-endpoint=node1:29500" in asked
    name, *flags = asked[asked.index("pretrain") + 1 :]
    assert asked[asked.index("pretrain") - 2 : asked.index("pretrain")] == ["-m", "moco"]
    recipe = starting_recipe(name)
    assert parse(Pretrain, "moco pretrain", flags, Pretrain("", Path(), recipe)).out == Path("/shared/runs/ig")
