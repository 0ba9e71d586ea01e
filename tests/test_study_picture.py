"""The picture of a study: ours and the paper's, each on an axis of its own where sizes were fitted to the data."""

import io

from PIL import Image

from moco.study.parts import FAILS, Cell, Study
from moco.study.picture import draw_picture, paper_ticks
from moco.study.results import CellResult, line


def test_the_papers_panel_has_the_papers_sizes_and_none_where_it_has_no_value():
    cells = (
        Cell("a", {}, "8", "MoCo", {"knn": 54.7}, "256"),
        Cell("b", {}, "8", "end-to-end", {"knn": 54.9}, "256"),
        Cell("c", {}, "32", "end-to-end", {}),
        Cell("d", {}, "128", "MoCo", {"knn": 59.0}, "4096"),
    )
    assert paper_ticks(Study("x", "x", cells, "K", "s"), ["8", "32", "128"]) == ["256", "", "4096"]


def test_an_axis_that_was_not_fitted_is_the_papers_too():
    cells = (Cell("m 0", {}, "0", "", {"knn": FAILS}), Cell("m 0.9", {}, "0.9", "", {"knn": 55.2}))
    assert paper_ticks(Study("x", "x", cells, "m", "s"), ["0", "0.9"]) == ["0", "0.9"]


def test_a_picture_is_drawn_from_what_there_is_so_far():
    cells = (Cell("m 0", {}, "0", "", {"knn": FAILS}), Cell("m 0.9", {}, "0.9", "", {"knn": 55.2}))
    study = Study("x", "The momentum", cells, "m", "MoCo v1: %")
    results = {"m 0": [CellResult(failed="the loss is not finite")], "m 0.9": []}
    file = io.BytesIO()
    draw_picture(file, study, [line(c, results[c.label], ["knn"]) for c in cells], results, ["knn"])
    with Image.open(file) as picture:
        assert len(picture.convert("L").getcolors()) > 10
