"""What is installed, what is missing and how to get it; what must be put right ends with 1."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from moco.cli import main
from moco.commands import doctor
from moco.commands.doctor import BRINGS, examine, sorted_out, versions
from moco.machine import Machine

MACHINE = Machine(device="cpu", precision="fp32", threads=1)
PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_every_extra_for_users_says_what_it_brings():
    extras = set(PROJECT["optional-dependencies"])
    assert set(BRINGS) <= extras
    _, shown = sorted_out([f"nowhere>=1; extra == '{name}'" for name in sorted(extras)])
    assert {extra.name for extra in shown} == extras - {"test", "docs", "dev"}
    assert all(extra.brings for extra in shown)


def test_a_missing_extra_says_what_it_would_bring_and_how_to_get_it():
    lines = [
        "torch>=2.4",
        "fsspec>=2023.12",
        "nowhere-to-be-found>=1.0; extra == 'tune'",
        "numpy>=99 ; extra == 'faiss'",
        'pillow (>=1.0) ; extra == "fast"',
        "momentum-contrast[fast]; extra == 'test'",
    ]
    packages, extras = sorted_out(lines)
    assert [p.name for p in packages] == ["torch", "fsspec"]
    assert all(p.fine for p in packages)
    by_name = {extra.name: extra for extra in extras}
    assert by_name.keys() == {"tune", "faiss", "fast"}
    assert by_name["tune"].install == "pip install 'momentum-contrast[tune]'"
    assert by_name["faiss"].packages[0].words().endswith("is older than 99")
    assert by_name["fast"].install == ""
    assert by_name["tune"].brings == BRINGS["tune"]


def test_it_says_device_cores_precision_and_where_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = examine(MACHINE)
    text = "\n".join(found.lines())
    for said in ("device: cpu", "CPU core", "precision: fp32", "compiled kernels: ", str(tmp_path / "cache" / "moco")):
        assert said in text
    assert all(folder.writable for folder in found.folders)
    assert not (tmp_path / "cache").exists(), "looking leaves nothing behind"
    assert found.problems == []
    assert text.endswith("nothing must be put right")


def test_what_must_be_put_right_is_said_and_ends_with_one(tmp_path, monkeypatch, capsys):
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setattr(doctor, "required", lambda: sorted_out(["torch>=99"]))
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json", "--machine.device", "cuda:99", "--machine.precision", "fp32"])
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    found = json.loads(out)
    assert re.search(r"torch [\d.+a-z]+ is older than 99: pip install 'torch>=99'", " ".join(found["problems"]))
    assert any("set XDG_CACHE_HOME" in problem for problem in found["problems"])
    assert any("cuda:99 cannot be used here" in problem for problem in found["problems"])
    assert "put right: " in err
    assert [f["writable"] for f in found["folders"] if "fetched" in f["what"]] == [False]


def test_version_says_torch_and_device(capsys):
    found = versions()
    main(["--version"])
    out = capsys.readouterr().out
    assert all(found[key] in out for key in ("moco", "torch", "python", "device"))
    main(["--version", "--json"])
    assert json.loads(capsys.readouterr().out) == found
