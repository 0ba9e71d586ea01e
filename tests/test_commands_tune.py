"""A search: trials are runs that go on, the best recipe trains, and a search that died is taken up."""

import json

import numpy as np
import pytest

from moco.commands.choose import named_recipe
from moco.commands.tell import Silent
from moco.commands.tune import tune
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import check

pytest.importorskip("optuna", reason="needs the extra 'tune'")

CPU = Machine(device="cpu", precision="fp32", threads=1, workers=1)
TINY = {"encoder.backbone": "resnet10w8", "image_size": 16, "epochs": 3, "batch": 16}


@pytest.fixture(scope="module")
def data(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    np.save(folder / "digits.npy", digits[0][:96])
    np.savez(folder / "labelled.npz", images=digits[0][480:540], labels=digits[1][480:540])
    return folder


def rows(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


class Dies(Silent):
    """A process that ends as soon as its first trial has passed its first rung."""

    def note(self, text):
        if "after epoch 1" in text:
            raise KeyboardInterrupt


def test_a_search_that_died_goes_on_in_the_same_run_and_the_best_recipe_is_a_file(data, tmp_path):
    settings = {"watch": data / "labelled.npz", "machine": CPU, "changes": TINY, "search": ["optim.lr=0.001..0.1"]}
    with pytest.raises(KeyboardInterrupt):
        tune(data / "digits.npy", tmp_path / "t", trials=3, tell=Dies(), **settings)
    first = tmp_path / "t" / "runs" / "trial-0000"
    assert rows(first)[-1]["epoch"] == 1

    found = tune(data / "digits.npy", tmp_path / "t", trials=3, **settings)
    assert len(found.rows) == 3
    runs = sorted((tmp_path / "t" / "runs").iterdir())
    assert len(runs) == 3
    assert [row["epoch"] for row in rows(first) if "knn" in row] == [0, 1, 2, 3][: 1 + rows(first)[-1]["epoch"]]

    best = named_recipe(str(found.best))
    check(best)
    complete = {row[0]: row for row in found.rows if row[-1] == "complete"}
    last = {
        name: next(r["knn"] for r in reversed(rows(tmp_path / "t" / "runs" / name)) if "knn" in r) for name in complete
    }
    winner = max(last, key=last.get)
    assert best.optim.lr == json.loads((tmp_path / "t" / "runs" / winner / "recipe.json").read_text())["optim"]["lr"]
    assert f"kNN {last[winner]:.1%}" in found.sentences[0]
    stopped = [row for row in found.rows if row[-1] == "stopped"]
    for row in stopped:
        assert rows(tmp_path / "t" / "runs" / row[0])[-1]["epoch"] == int(row[-4]) < 3

    with pytest.raises(MocoError, match="another search"):
        tune(data / "digits.npy", tmp_path / "t", trials=3, **{**settings, "search": ["optim.lr=0.001..0.2"]})


def test_without_labels_trials_are_judged_by_the_rotation_probe_and_a_diverged_one_is_last(data, tmp_path):
    found = tune(
        data / "digits.npy",
        tmp_path / "t",
        trials=2,
        machine=CPU,
        changes={**TINY, "epochs": 1},
        search=["optim.lr=1e30,0.01"],
    )
    assert found.head[-2] == "turns found, %"
    ends = {row[1]: row[-1] for row in found.rows}
    assert all(end.startswith("failed") for lr, end in ends.items() if lr == "1e+30")
    assert (found.best is None) == (not any(end == "complete" for end in ends.values()))


class Notes(Silent):
    """Keeps what was told, and stops before anything is trained."""

    def __init__(self):
        self.told = []

    def note(self, text):
        self.told.append(text)
        if text.startswith("trial-"):
            raise KeyboardInterrupt


def test_the_usual_search_leaves_alone_what_the_user_has_set(data, tmp_path):
    notes = Notes()
    changes = {**TINY, "optim.lr": 0.1, "keys.m": 0.95}
    with pytest.raises(KeyboardInterrupt):
        tune(data / "digits.npy", tmp_path / "t", machine=CPU, changes=changes, tell=notes)
    searched = [text.split(":")[0] for text in notes.told if text.startswith("searching")]
    assert searched == ["searching dictionary.size", "searching loss.temperature"]


def test_what_is_set_cannot_be_searched_and_other_folders_are_left_alone(data, tmp_path):
    with pytest.raises(MocoError, match=r"--optim.lr is set and searched"):
        tune(data / "digits.npy", tmp_path / "t", changes={**TINY, "optim.lr": 0.1}, search=["optim.lr=0.1..0.2"])
    every = {"keys.m": 0.9, "dictionary.size": 32, "loss.temperature": 0.1, "optim.lr": 0.1}
    with pytest.raises(MocoError, match="nothing is left to search"):
        tune(data / "digits.npy", tmp_path / "t", changes={**TINY, **every})
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(MocoError, match="holds other files"):
        tune(data / "digits.npy", tmp_path / "thesis", changes=TINY, machine=CPU)
