"""The trials of a study and of a search, as `study` and `tune` leave them, compared on one page."""

import numpy as np
import pytest
from tiny import CPU

from moco.commands.compare import compare
from moco.commands.study import study
from moco.commands.tune import tune

SMALL = {"encoder.backbone": "resnet10w8", "image_size": 16, "epochs": 1, "batch": 16}


@pytest.fixture(scope="module")
def data(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    np.save(folder / "digits.npy", digits[0][:96])
    np.savez(folder / "labelled.npz", images=digits[0][480:540], labels=digits[1][480:540])
    return folder


def test_the_cells_of_a_study_are_compared_by_what_they_vary(data, tmp_path):
    study("shuffle-bn", data / "digits.npy", tmp_path, seeds=1, watch=data / "labelled.npz", machine=CPU, changes=SMALL)
    page = compare([tmp_path / "shuffle-bn"], tmp_path / "c.html").read_text()
    assert "<h1>2 runs</h1>" in page
    for cell in ("with-shuffling-seed0", "without-seed0"):
        assert cell in page
    settings = page.partition('id="settings"')[2].partition('id="evaluations"')[0]
    assert "shuffle" in settings
    assert "optim" not in settings


def test_the_trials_of_a_search_are_compared_by_what_it_searches(data, tmp_path):
    pytest.importorskip("optuna", reason="needs the extra 'tune'")
    out = tmp_path / "t"
    asked = {"watch": data / "labelled.npz", "changes": SMALL, "search": ["optim.lr=0.001..0.1"], "machine": CPU}
    tune(data / "digits.npy", out, trials=2, **asked)
    page = compare([out], tmp_path / "c.html").read_text()
    assert "<h1>2 runs</h1>" in page
    settings = page.partition('id="settings"')[2].partition('id="evaluations"')[0]
    assert "optim.<wbr>lr" in settings
    assert "image_size" not in settings
