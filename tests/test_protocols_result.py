"""A result is the same after a file, and files of older versions can still be read."""

import json
from dataclasses import replace

import pytest

from moco.protocols.result import Cell, Result, number_words, read_results, slug

RESULT = Result(
    protocol="knn",
    data="photos",
    title="kNN",
    columns=["k 20", "rank"],
    rows={
        "this encoder": [Cell(0.5, 0.1, (0.4, 0.6)), Cell(12.0)],
        "pixels": [Cell(0.25), Cell(3.0, None, (2.0, 4.0))],
    },
    settings={"k": [20]},
    formats=["share", "number"],
    interval="Wilson",
    note="quick",
    encoder="runs/x",
    contenders={"pixels": "the image itself"},
    device="fp32 on the CPU",
    seconds=1.5,
)


def test_what_is_saved_is_read_again(tmp_path):
    path = RESULT.save(tmp_path / "evaluations", "photos")
    assert path.name == "knn-photos.json"
    (read,), _ = read_results(path.parent)
    assert replace(read, when="") == RESULT
    assert read.when
    content = json.loads(path.read_text())
    assert {"moco", "python", "torch", "torchvision", "numpy"} == {"moco", *content["versions"]}
    assert content["moco"]
    assert content["device"] == "fp32 on the CPU"


def test_a_file_of_an_older_version_is_read(tmp_path):
    (tmp_path / "few-labels-x.json").write_text(
        json.dumps(
            {"protocol": "few-labels", "data": "x", "title": "t", "columns": ["1"], "settings": {}, "seconds": 1.0,
             "rows": {"this encoder": [[0.5, 0.01]]}, "moco": "0.1.0", "when": "2026-01-01"}
        )
    )  # fmt: skip
    (read,), _ = read_results(tmp_path)
    assert read.rows == {"this encoder": [Cell(0.5, 0.01, None)]}
    assert read.format(0) == "share"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"rows": {"x": [[1]]}}'])
def test_a_damaged_file_is_named_and_costs_no_other(tmp_path, text):
    (tmp_path / "knn-x.json").write_text(text)
    RESULT.save(tmp_path, "photos")
    (read,), (damaged,) = read_results(tmp_path)
    assert read.rows == RESULT.rows
    assert "knn-x.json is damaged" in damaged


def test_no_folder_is_no_results(tmp_path):
    assert read_results(tmp_path / "evaluations") == ([], [])


def test_names_become_file_names():
    assert slug("/data/my photos/x.zip") == "data-my-photos-x-zip"
    assert len(slug("a" * 200)) == 60
    assert slug("照片" * 50) == "照片" * 10, "a file's name has at most 255 bytes"
    assert slug("/data/\udcff.zip") == "data---zip"


def test_numbers_have_three_digits_or_all_of_a_large_one():
    shown = [number_words(value) for value in (2048.0, 999.4, 12.345, 0.02512, -3.9)]
    assert shown == ["2,048", "999", "12.3", "0.0251", "-3.9"]
