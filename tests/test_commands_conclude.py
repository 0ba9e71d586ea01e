"""The verdict at the end of a run: by what was found before its first step, kept once, and lost with nothing else."""

import json

import numpy as np

from moco.commands.conclude import about_whitened
from moco.commands.pretrain import pretrain
from moco.machine import Machine
from moco.recipe import override, v2

CPU = Machine(device="cpu", precision="fp32", threads=1, workers=1)
SMALL = {"encoder.backbone": "resnet10w8", "encoder.stem": "half", "image_size": 16, "batch": 16, "encoder.dim": 16}
SMALL |= {"encoder.norm_group": 8, "dictionary.size": 32, "epochs": 2}


def test_a_run_is_looked_at_before_its_first_step_and_at_its_end_and_keeps_both(digits, tmp_path):
    np.save(tmp_path / "x.npy", digits[0][:64])
    run = tmp_path / "run"
    pretrain(tmp_path / "x.npy", run, override(v2(), SMALL), machine=CPU, until=1)
    begun = json.loads((run / "verdict.json").read_text())
    assert set(begun) == {"before"}
    pretrain(tmp_path / "x.npy", run, override(v2(), SMALL), machine=CPU)
    ended = json.loads((run / "verdict.json").read_text())
    assert ended["before"] == begun["before"]
    assert ended["after"] != ended["before"]
    assert ended["sentence"].startswith("verdict: ")
    assert ended["sentence"].removeprefix("verdict: ") in (run / "report.html").read_text().replace("&#39;", "'")
    pretrain(tmp_path / "x.npy", run, override(v2(), SMALL), machine=CPU)
    assert json.loads((run / "verdict.json").read_text()) == ended, "said once"


def test_whitened_features_of_few_images_are_not_recommended():
    assert "try both" in about_whitened(2022)
    assert "prefer the plain ones" in about_whitened(400)
