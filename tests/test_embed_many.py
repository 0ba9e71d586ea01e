"""`moco embed` and `moco evaluate` started by torchrun write and say what one process does, once."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from moco.encoder import build_encoder
from moco.machine import Machine
from moco.recipe import override, v2
from moco.run.directory import DataRecord, start_run
from moco.run.encoder_file import save_encoder

SCRIPT = Path(__file__).parent / "many" / "judge.py"
RECIPE = override(
    v2(), {"encoder.backbone": "resnet10w8", "encoder.stem": "small", "encoder.dim": 16, "image_size": 16}
)


@pytest.fixture(scope="module")
def found(digits, tmp_path_factory):
    """{number of processes: (folder of what was written, what was printed)}."""
    root = tmp_path_factory.mktemp("many")
    pixels, labels = digits
    for i in range(700):
        path = root / "images" / f"class {labels[i]}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[i]).save(path)
    for broken in ("class 0/a.png", "class 5/a.png"):
        (root / "images" / broken).write_bytes(b"no image")
    run = start_run(root / "run", RECIPE, Machine(), DataRecord("x", 1, "x"))
    torch.manual_seed(3)
    save_encoder(run.encoder, build_encoder(RECIPE.encoder)[0], RECIPE, 1)
    run.unlock()
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    made = {}
    for processes, start in ((1, []), (2, many)):
        out = root / f"{processes}"
        out.mkdir()
        command = [sys.executable, *start, SCRIPT, root / "run", root / "images", out]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        made[processes] = out, done.stdout.replace(f"/{processes}/", "/N/")
    return made


def test_features_are_equal_bit_by_bit_on_all_processes(found):
    one = torch.load(found[1][0] / "0.pt")["features"]
    for process in (0, 1):
        assert torch.equal(torch.load(found[2][0] / f"{process}.pt")["features"], one)
    files = [np.load(found[n][0] / "features.npz") for n in (1, 2)]
    for name in ("features", "paths", "labels", "index"):
        assert (files[0][name] == files[1][name]).all(), name
    assert len(files[1]["features"]) == 700


def test_tables_are_the_same_and_are_written_and_said_once(found):
    assert found[2][1] == found[1][1]
    assert "2 images cannot be read" in found[1][1]
    names = {n: sorted(p.name for p in found[n][0].glob("*.json")) for n in (1, 2)}
    assert names[1] == names[2]
    assert len(names[1]) == 7
    for name in names[1]:
        one, two = (json.loads((found[n][0] / name).read_text()) for n in (1, 2))
        for contender, cells in one["rows"].items():
            for a, b in zip(cells, two["rows"][contender], strict=True):
                assert a[0] == pytest.approx(b[0], abs=0.0 if not name.startswith("linear-tmp") else 0.01), name


def test_knn_while_training_is_the_same_on_every_process(found):
    scores = [torch.load(found[n][0] / f"{i}.pt")["knn"] for n, i in ((1, 0), (2, 0), (2, 1))]
    assert scores[0] == scores[1] == scores[2]
    assert 0.15 < scores[0]["knn"] < 1
