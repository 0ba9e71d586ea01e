"""A notebook shows one output that is drawn anew, names stay text in it, and only a kernel counts as a notebook."""

import re

import pytest

from moco.commands import notebook
from moco.commands.notebook import Notebook, in_notebook
from moco.commands.tell import Silent, listener
from moco.protocols.result import Cell, Result
from moco.recipe.auto import Choice

ROW = {
    "step": 1, "epoch": 1, "loss": 2.0, "chance": 4.0, "accuracy": 0.5, "images_per_second": 10.0,
    "data_wait": 0.25, "memory_gib": 1.0, "health": "normal: <b>learning</b>", "level": "normal",
}  # fmt: skip


@pytest.fixture
def cell(monkeypatch):
    """IPython's display, which here keeps what is displayed: (how, HTML, plain)."""
    display = pytest.importorskip("IPython.display", reason="IPython is missing: pip install ipython")
    shown = []

    class Handle:
        def update(self, data, raw):
            assert raw
            shown.append(("update", data["text/html"], data["text/plain"]))

    def keep(data, raw, display_id):
        assert raw
        assert display_id
        shown.append(("display", data["text/html"], data["text/plain"]))
        return Handle()

    monkeypatch.setattr(display, "display", keep)
    return shown


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(notebook.time, "monotonic", lambda: now[0])
    return now


def test_all_is_one_output_that_is_drawn_anew_twice_a_second(cell, clock):
    tell = Notebook()
    tell.note("480 images")
    for step in range(1, 101):
        tell.row(ROW | {"step": step}, step, 100, 30.0)
        clock[0] += 0.05
    assert [how for how, _, _ in cell].count("display") == 1
    assert 10 < len(cell) < 20
    _, html, plain = cell[-1]
    assert '<progress value="100" max="100"' in html
    assert "480 images" in html
    assert plain.splitlines()[0] == "480 images"
    assert plain.splitlines()[1] == "step 100 / 100  30 s left"
    assert "loss 2.000 (chance 4.00)" in plain


def test_names_are_text(cell):
    tell = Notebook()
    tell.note("<script>alert(1)</script>")
    tell.row(ROW, 1, 2, None)
    tell.choices([Choice("--batch", "<4>", "few & small")])
    rows = {"<i>": [Cell(0.5, 0.01)], "pixels": [Cell(0.25)]}
    tell.results(Result(protocol="knn", data="x", title="<t>", columns=["<c>"], rows=rows, settings={}, note="<n>"))
    html = cell[-1][1]
    tags = set(re.findall(r"<(\w+)", html))
    assert tags <= {"div", "progress", "table", "tr", "td", "th"}
    for words in ("&lt;script&gt;", "few &amp; small", "&lt;t&gt;", "&lt;c&gt;", "&lt;n&gt;", "50.0% ± 1.0"):
        assert words in html


def test_reading_counts_and_its_bar_goes(cell, clock):
    tell = Notebook()
    done = tell.reading("reading images", 100)
    for i in range(1, 101):
        done(i)
        clock[0] += 0.1
    assert 15 < sum(bool(re.fullmatch(r"reading images \d+ / 100", plain)) for _, _, plain in cell) < 25
    assert "progress" not in cell[-1][1]


def test_scores_are_lines_that_stay_and_old_lines_go(cell):
    tell = Notebook()
    for epoch in range(300):
        tell.row({"step": 3 * epoch, "epoch": epoch, "knn": 0.5}, 3 * epoch, 900, None)
    lines = cell[-1][2].splitlines()
    assert len(lines) == 200
    assert lines[-1] == "after epoch 299: kNN 50.0%"


def test_only_a_kernel_is_a_notebook(monkeypatch):
    ipython = pytest.importorskip("IPython")
    assert not in_notebook()
    assert isinstance(listener(None), Silent)

    class Shell:
        kernel = object()

    monkeypatch.setattr(ipython, "get_ipython", Shell)
    assert in_notebook()
    assert isinstance(listener(None), Notebook)
    other = Silent()
    assert listener(other) is other
