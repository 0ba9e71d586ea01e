"""A run with --init and the same without it are set side by side."""

import json

import pytest

from moco.machine import Machine
from moco.pages.beside import sides
from moco.pages.page import Pictures, page
from moco.protocols.result import Cell, Result
from moco.recipe import override, v2
from moco.run.directory import DataRecord, start_run


def run(folder, init=None, knn=0.5, fingerprint="f", **changes):
    made = start_run(folder, override(v2(), changes), Machine(), DataRecord("photos", 100, fingerprint))
    made.unlock()
    if init:
        made.write("init.json", {"init": init, "digest": "sha256:0"})
    rows = [{"step": 10, "loss": 3.0}, {"step": 20, "loss": 2.5}, {"step": 20, "knn": knn, "rank": 40.25}]
    made.log.write_text("".join(json.dumps({"epoch": 1} | row) + "\n" for row in rows))
    cells = {"this encoder": [Cell(knn + 0.1)], "untrained": [Cell(0.1)]}
    result = Result(protocol="linear", data="cats", title="t", columns=["top-1"], rows=cells, settings={})
    result.save(made.evaluations, "cats")
    return made


def test_the_two_are_found_from_either_side(tmp_path):
    plain = run(tmp_path / "plain", knn=0.5)
    started = run(tmp_path / "started", init="x.pth", knn=0.75)
    for one in (plain, started):
        found = sides(one)
        assert (found.init, found.with_init, found.without) == ("x.pth", "started", "plain")
        assert found.rows == [
            ("steps", "20", "20"),
            ("kNN, % (of --watch)", "75.0", "50.0"),
            ("effective rank", "40.2", "40.2"),
            ("loss", "2.5", "2.5"),
            ("linear on cats, top-1", "85.0", "60.0"),
        ]
        html = page(one, [], Pictures())
        assert "With and without --init" in html
        assert "x.pth" in html


@pytest.mark.parametrize("other", [{"fingerprint": "g"}, {"batch": 64}, {"init": None}])
def test_another_recipe_other_images_or_the_same_start_are_no_counterpart(other, tmp_path):
    one = run(tmp_path / "one")
    run(tmp_path / "two", **{"init": "x.pth"} | other)
    assert sides(one) is None
    assert "With and without --init" not in page(one, [], Pictures())


def test_of_several_counterparts_the_one_of_the_same_length_is_taken(tmp_path):
    one = run(tmp_path / "one", init="x.pth")
    run(tmp_path / "another", epochs=3)
    assert sides(one).without == "another"
    run(tmp_path / "same")
    assert sides(one).without == "same"


def test_a_damaged_neighbour_does_not_matter(tmp_path):
    one = run(tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "recipe.json").write_text("{")
    assert sides(one) is None
