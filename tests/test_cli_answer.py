"""--json: standard output is one JSON value, and all that a person reads is on the other."""

import dataclasses
import json
import math
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from moco.cli import COMMANDS, main
from moco.cli.answer import from_csv, plain, to_json
from moco.commands.pretrain import pretrain
from moco.machine import Machine
from moco.recipe import RECIPES, override, v2

QUICK = ["--machine.device", "cpu", "--machine.precision", "fp32", "--machine.threads", "1", "--machine.workers", "0"]
NO_TABLE = {"completion", "explore", "watch"}
"""A script for a shell, and pages that are served."""


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def there(digits, tmp_path_factory):
    """A folder with images in classes, and a run."""
    root = tmp_path_factory.mktemp("there")
    for i in range(40):
        path = root / "images" / str(digits[1][i] % 2) / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits[0][i]).save(path)
    changes = {
        "encoder.backbone": "resnet10w8", "encoder.stem": "small", "encoder.norm_group": 8, "image_size": 16,
        "batch": 16, "epochs": 1, "dictionary.size": 16,
    }  # fmt: skip
    machine = Machine(device="cpu", precision="fp32", threads=1, workers=0)
    pretrain(root / "images", root / "run", override(v2(), changes), machine=machine, until=1)
    return root


def said(capsys, *arguments):
    """What standard output says as JSON, and the other as text."""
    code = 0
    try:
        main([str(a) for a in (*arguments, "--json")])
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    return json.loads(out), err, code


def test_every_command_that_prints_a_table_has_the_flag():
    for name in set(COMMANDS) - NO_TABLE:
        module = import_module(f"moco.cli.{name}")
        own = [one for one in vars(module).values() if getattr(one, "__module__", "") == module.__name__]
        kinds = [one for one in own if dataclasses.is_dataclass(one)]
        assert kinds
        for kind in kinds:
            assert "json" in {f.name for f in dataclasses.fields(kind)}, name


def test_what_is_searched_is_rows(there, capsys, tmp_path):
    main(
        [
            "embed",
            str(there / "run"),
            "--data",
            str(there / "images"),
            "--out",
            str(tmp_path / "x.npz"),
            *QUICK,
            "--json",
        ]
    )
    out, err = capsys.readouterr()
    assert json.loads(out) == {"file": str(tmp_path / "x.npz"), "images": 40, "numbers": 64}
    assert "40 images, 64 numbers each" in err.replace("\n", " ")
    for name, count in (("neighbours", 40 * 8), ("outliers", 40), ("cluster", 40)):
        found, err, code = said(capsys, name, tmp_path / "x.npz", "--out", tmp_path / name, *QUICK)
        assert code == 0
        assert len(found["rows"]) == count
        assert all(isinstance(row.get("cosine", row.get("distance")), float) for row in found["rows"])
        assert found["csv"].endswith(f"{name}.csv")
        assert Path(found["picture"]).exists()
        assert f"{name}.csv" in err.replace("\n", "")
    found, _, _ = said(capsys, "duplicates", tmp_path / "x.npz", "--out", tmp_path / "d", "--threshold", "1.0", *QUICK)
    assert {"group", "size", "image", "label", "cosine"} >= {key for row in found["rows"] for key in row}


def test_what_is_judged_is_the_content_of_its_file(there, capsys):
    more = ["--knn-k", "5", "--out", there / "e", *QUICK]
    found, err, code = said(capsys, "evaluate", there / "run", "knn", "--data", there / "images", *more)
    assert code == 0
    assert [one["protocol"] for one in found] == ["knn"]
    kept = json.loads(next((there / "e").glob("knn-*.json")).read_text())
    assert found[0]["rows"] == kept["rows"]
    assert "k nearest neighbours" in err


def test_what_is_checked_ends_with_the_same_code_and_is_whole(there, capsys, tmp_path):
    found, err, code = said(capsys, "check", "--data", there / "images")
    assert (code, found["count"], found["unreadable"], found["stops_a_run"]) == (0, 40, [], False)
    assert found["sizes"] == [{"width": 16, "height": 16, "images": 40}]
    assert found["classes"] == {"0": sum(found["classes"].values()) - found["classes"]["1"], "1": found["classes"]["1"]}
    assert "every image can be read" in err
    (tmp_path / "a.png").write_bytes(b"no image")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    found, _, code = said(capsys, "check", "--data", tmp_path)
    assert (code, found["stops_a_run"]) == (1, True)
    assert found["unreadable"][0][0] == "a.png"


def test_lists_and_recipes_are_values(capsys):
    found, _, _ = said(capsys, "show")
    assert set(found["recipes"]) == {"auto", *RECIPES}
    assert "photos" in found["views"]
    found, _, _ = said(capsys, "show", "v2")
    assert found["loss"]["temperature"] == 0.2
    found, _, _ = said(capsys, "study")
    assert len(found) >= 3


def test_a_mistake_leaves_standard_output_empty(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "nowhere", "--data", "nowhere", "--json"])
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert out == ""
    assert err.startswith("moco: ")


def test_of_several_processes_the_first_talks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    main(["show", "--json"])
    assert capsys.readouterr().out == ""


def test_exit_codes_are_those_that_are_written_down(tmp_path):
    """0, 1, 2 and 141 in processes of their own; 128 + a signal in tests/contracts/test_resume.py and test_cli.py."""
    moco = [sys.executable, "-m", "moco"]

    def code(*arguments):
        return subprocess.run([*moco, *arguments], capture_output=True, check=False, cwd=tmp_path).returncode

    assert code("show", "v2") == 0
    assert code("show", "v9") == 1
    assert code("train") == 2
    document = (Path(__file__).parent.parent / "docs" / "command-line.md").read_text()
    for number in ("`0`", "`1`", "`2`", "`130`", "`143`", "`141`"):
        assert number in document


class Pair(NamedTuple):
    a: float
    b: Path


def test_values_become_what_json_has(tmp_path):
    value = {
        "x": Pair(math.inf, Path("y")),
        3: [np.float32(0.5), np.int64(2), None, True],
        "c": Counter("aab"),
        "s": {1},
    }
    assert plain(value) == {"x": [None, "y"], "3": [0.5, 2, None, True], "c": {"a": 2, "b": 1}, "s": [1]}
    assert json.loads(to_json(lambda: value)) == plain(value)
    (tmp_path / "n.csv").write_text("image,rank,cosine\n07,1,0.5\n")
    assert from_csv(tmp_path, "n")["rows"] == [{"image": "07", "rank": 1, "cosine": 0.5}]
    assert from_csv(tmp_path, "n")["picture"] is None
