"""Shards from servers that go away, read by several processes with workers of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from jobs import MACHINE, RECIPE, start, state, steps, told, wait_for, wait_for_step
from read_shards import contents
from served_shards import EACH, PATTERN, SHARDS, Bucket, Site, outage, write_shards

from moco.commands.pack import Packing, pack
from moco.commands.pretrain import pretrain
from moco.data.open import open_source
from moco.machine import Machine
from moco.recipe import override, v2

SCRIPT = Path(__file__).parents[1] / "read_shards.py"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_shards(tmp_path / "data")


@pytest.mark.parametrize(("processes", "store"), [(2, "http"), (4, "s3")])
def test_processes_read_from_a_server_what_one_reads_from_disk_through_an_outage(
    folder, tmp_path, monkeypatch, processes, store
):
    """Each process with a worker; the first shard is fetched before the outage, the others after it."""
    expected = contents(open_source(f"{folder}/{PATTERN}"), 0)
    assert len(expected) == 2 * (SHARDS * EACH // 8)
    server = Site(folder) if store == "http" else Bucket(folder, monkeypatch)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, SCRIPT]
    job = subprocess.Popen([*map(str, command), server.url, str(tmp_path)])
    try:
        wait_for((tmp_path / "here").exists, job)
        with outage(server, 1.0):
            (tmp_path / "go").touch()
        assert job.wait(120) == 0
    finally:
        job.kill()
        server.stop()
    assert json.loads((tmp_path / "steps.json").read_text()) == expected


def test_a_run_over_http_outlives_an_outage_lists_a_shard_that_never_comes_and_goes_on_elsewhere_after_sigterm(
    folder, tmp_path
):
    """Two processes; the scheduler's signal goes to torchrun. One process ends the run, as one would on a disk."""
    site = Site(folder, refused="000003.tar")
    out, cache = tmp_path / "run", tmp_path / "cache"
    flags = ["--steps", "12", "--machine.memory-gib", "0"]
    flags += ["--machine.retry-seconds", "8", "--machine.max-skipped", "0.25"]
    job = start(2, site.url, out, *flags, restarts=2)
    try:
        wait_for(lambda: list(cache.rglob("*.tar")), job)
        with outage(site, 1.0):
            wait_for_step(job, out, 5)
        os.kill(job.pid, signal.SIGTERM)
        assert job.wait(60) == 1, "what torchrun makes of it"
        assert told(out).count("stopped and saved at step") == 1
        assert "going on from step" not in told(out), "not started again"
        assert 5 <= state(out)["step"] < 12
        machine = Machine(**MACHINE, memory_gib=0, retry_seconds=8, max_skipped=0.25)
        recipe = override(v2(), {**RECIPE, "steps": 12})
        pretrain(site.url, out, recipe, machine=machine)
    finally:
        job.kill()
        site.stop()
    skipped = (out / "skipped.txt").read_text().splitlines()
    assert skipped
    assert all("/000003.tar, image " in line and "cannot be reached, tried for 8 s" in line for line in skipped)
    (folder / "000003.tar").write_bytes(b"")
    pretrain(f"{folder}/{PATTERN}", tmp_path / "whole", recipe, machine=machine)
    assert len((tmp_path / "whole" / "skipped.txt").read_text().splitlines()) == len(skipped)
    ours, theirs = steps(out), steps(tmp_path / "whole")
    assert [step for step, _ in ours] == [step for step, _ in theirs] == list(range(1, 13))
    assert np.allclose([loss for _, loss in ours], [loss for _, loss in theirs], atol=1e-2)


CIFAR = Path(os.environ.get("MOCO_TEST_DATA", "/nonexistent")) / "cifar10_jpg.zip"


@pytest.mark.skipif(not CIFAR.exists(), reason="MOCO_TEST_DATA names no folder with cifar10_jpg.zip")
@pytest.mark.parametrize("store", ["http", "s3"])
def test_shards_of_cifar_10_train_the_same_from_a_server_that_goes_away_as_from_disk(tmp_path, monkeypatch, store):
    """2,000 real images packed into five shards; two processes, an outage while they train."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with zipfile.ZipFile(CIFAR) as archive:
        for name in [n for n in sorted(archive.namelist()) if n.endswith(".jpg")][::30]:
            archive.extract(name, tmp_path / "images")
    pack(tmp_path / "images", tmp_path / "packed", Packing(shard_images=400), workers=1)
    for index in (tmp_path / "packed").glob("*.idx"):
        index.unlink()  # with it, shards on a disk are read in any order, like a folder
    server = (Site if store == "http" else lambda folder: Bucket(folder, monkeypatch))(tmp_path / "packed")
    flags = ["--steps", "60", "--machine.memory-gib", "0", "--machine.retry-seconds", "30"]
    job = start(2, server.url, tmp_path / "run", *flags)
    try:
        wait_for(lambda: list((tmp_path / "cache").rglob("*.tar")), job)
        with outage(server, 2.0):
            wait_for_step(job, tmp_path / "run", 1)
        assert job.wait(120) == 0, told(tmp_path / "run")
    finally:
        job.kill()
        server.stop()
    assert not (tmp_path / "run" / "skipped.txt").exists()
    recipe, machine = override(v2(), {**RECIPE, "steps": 60}), Machine(**MACHINE, memory_gib=0)
    pretrain(f"{tmp_path / 'packed'}/{PATTERN}", tmp_path / "disk", recipe, machine=machine)
    ours, theirs = steps(tmp_path / "run"), steps(tmp_path / "disk")
    assert [step for step, _ in ours] == [step for step, _ in theirs] == list(range(1, 61))
    assert np.allclose([loss for _, loss in ours][:10], [loss for _, loss in theirs][:10], atol=1e-3)
