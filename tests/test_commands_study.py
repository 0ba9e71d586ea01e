"""A study trained: run directories, tables and a picture; it goes on, shares its cells, and survives a failed one."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from moco.commands.study import study
from moco.errors import MocoError
from moco.machine import Machine
from moco.run.directory import RunDirectory, is_run

CPU = Machine(device="cpu", precision="fp32", threads=1, workers=1)
TINY = {"encoder.backbone": "resnet10w8", "image_size": 16, "epochs": 1, "batch": 16}


@pytest.fixture(scope="module")
def data(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    np.save(folder / "digits.npy", digits[0][:160])
    np.savez(folder / "labelled.npz", images=digits[0][480:560], labels=digits[1][480:560])
    return folder


def run(data, out, name="shuffle-bn", **more):
    watch = data / "labelled.npz"
    return study(name, data / "digits.npy", out, seeds=1, watch=watch, machine=CPU, **{"changes": TINY, **more})


def test_a_study_leaves_runs_a_table_and_a_picture_and_is_not_trained_twice(data, tmp_path):
    found = run(data, tmp_path)
    folder = tmp_path / "shuffle-bn"
    runs = sorted(p.name for p in (folder / "runs").iterdir())
    assert runs == ["with-shuffling-seed0", "without-seed0"]
    assert all(is_run(folder / "runs" / name) for name in runs)
    rows = list(csv.reader((folder / "table.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == ["cell", "with shuffling", "without"]
    assert rows[1][3] == "41.9"
    with Image.open(folder / "picture.png") as picture:
        assert picture.width > 800
    assert [said.split(":")[0] for said in found.verdicts] == ["kNN", "contrast accuracy", "kNN before training"]
    result = folder / "results" / "without-seed0.json"
    logged = [json.loads(x) for x in (folder / "runs" / "without-seed0" / "log.jsonl").read_text().splitlines()]
    last = next(row["knn"] for row in reversed(logged) if "knn" in row)
    assert json.loads(result.read_text())["scores"]["knn"] == last

    before = {p: p.stat().st_mtime_ns for p in folder.glob("*/*")}
    assert run(data, tmp_path).rows == found.rows
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*/*")} == before
    with pytest.raises(MocoError, match="another recipe"):
        run(data, tmp_path, changes={**TINY, "optim.lr": 0.5})


def test_a_cell_that_another_process_has_is_passed_over(data, tmp_path):
    path = tmp_path / "shuffle-bn" / "runs" / "with-shuffling-seed0"
    path.mkdir(parents=True)
    other = RunDirectory(path)
    other.lock()
    found = run(data, tmp_path)
    other.unlock()
    assert found.left == 1
    assert found.rows[0][1] == "0"
    assert found.rows[1][1] == "1"


def test_a_cell_that_diverges_is_a_result_and_not_the_end(data, tmp_path):
    found = run(data, tmp_path, changes={**TINY, "optim.lr": 1e30})
    assert all(row[2].startswith("failed: the loss or the weights are not finite") for row in found.rows)
    assert found.left == 0


def test_the_cost_is_measured_in_a_process_of_its_own(data, tmp_path):
    found = run(data, tmp_path, "cost", cells=["MoCo batch 16"])
    memory, seconds = float(found.rows[0][2]), float(found.rows[0][4])
    assert 0 < memory < 4
    assert seconds > 0


def test_what_makes_no_sense_is_refused_before_anything_is_trained(data, tmp_path):
    with pytest.raises(MocoError, match="there is no study 'momentums'"):
        run(data, tmp_path, "momentums")
    with pytest.raises(MocoError, match=r"--keys.m is what the study momentum varies"):
        run(data, tmp_path, "momentum", changes={**TINY, "keys.m": 0.9})
    with pytest.raises(MocoError, match="there is no cell 'm 1'"):
        run(data, tmp_path, "momentum", cells=["m 1"])
    with pytest.raises(MocoError, match=r"--seeds 0"):
        study("momentum", data / "digits.npy", tmp_path, seeds=0)
    assert not list(tmp_path.glob("*/runs"))
