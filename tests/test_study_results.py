"""Results of cells: seeds become mean and spread, and the direction is judged by counting pairs."""

import csv
import io
import math

import pytest

from moco.study.parts import FAILS, Cell, Study
from moco.study.results import (
    CellResult,
    as_csv,
    as_markdown,
    from_log,
    line,
    read_result,
    starts,
    table,
    verdicts,
    write_result,
)

CELLS = tuple(Cell(f"m {m}", {"keys.m": m}, str(m), "", {"knn": v}) for m, v in [(0, FAILS), (0.9, 55.2), (0.99, 57.8)])
STUDY = Study("momentum", "Momentum", CELLS, "m", "MoCo v1: %")


def lines(*knn):
    """One line a cell; a list holds its seeds, a word why it failed."""
    made = []
    for cell, values in zip(CELLS, knn, strict=True):
        results = [CellResult(failed=values)] if isinstance(values, str) else [CellResult({"knn": v}) for v in values]
        made.append(line(cell, results, ["knn"]))
    return made


def test_mean_and_spread_are_over_seeds_in_percent():
    mean, spread = lines([0.1], [0.2, 0.4], [0.5])[1].values["knn"]
    assert mean == pytest.approx(30)
    assert spread == pytest.approx(math.sqrt(200))


def test_the_same_order_agrees_and_a_failure_is_worse_than_every_number():
    (sentence,) = verdicts(STUDY, lines("not finite", [0.3], [0.4]), ["knn"])
    assert "agrees with the paper" in sentence
    assert "Of 3 pairs" in sentence
    assert "in the same order here: 3" in sentence
    assert "one seed" in sentence


def test_the_opposite_order_disagrees():
    (sentence,) = verdicts(STUDY, lines([0.5], [0.4], [0.3]), ["knn"])
    assert "disagrees" in sentence
    assert "the other way round: 3" in sentence


def test_differences_within_the_standard_error_are_too_close_to_call():
    (sentence,) = verdicts(STUDY, lines([0.1, 0.5], [0.2, 0.5], [0.3, 0.5]), ["knn"])
    assert "not clear" in sentence
    assert "too close to call: 3" in sentence


def test_values_the_paper_does_not_tell_apart_are_not_counted():
    cells = (Cell("a", {}, "a", "", {"knn": 59.0}), Cell("b", {}, "b", "", {"knn": 58.9}))
    made = [line(c, [CellResult({"knn": v})], ["knn"]) for c, v in zip(cells, (0.1, 0.9), strict=True)]
    assert "too few cells" in verdicts(Study("x", "x", cells, "m", "s"), made, ["knn"])[0]


def test_tables_hold_ours_and_the_papers_and_say_what_failed():
    head, rows = table(STUDY, lines("the loss, it is | not finite", [0.3, 0.3], [0.4]), ["knn"])
    assert rows[0][2:] == ["failed: the loss, it is | not finite", "fails"]
    assert rows[1] == ["m 0.9", "2", "30.00 ± 0.00", "55.2"]
    assert list(csv.reader(io.StringIO(as_csv(head, rows)))) == [head, *rows]
    page = as_markdown(STUDY, head, rows, ["kNN: it agrees."])
    assert r"it is \| not finite" in page
    assert "kNN: it agrees." in page


def test_a_gap_between_groups_does_not_hide_what_happens_within_one():
    paper = {"bank": (50.0, 52.0), "MoCo": (58.0, 60.0)}
    cells = tuple(Cell(f"{g} {i}", {}, str(i), g, {"knn": v}) for g, vs in paper.items() for i, v in enumerate(vs))
    made = [line(c, [CellResult({"knn": v})], ["knn"]) for c, v in zip(cells, (0.1, 0.2, 0.6, 0.5), strict=True)]
    whole, bank, moco = verdicts(Study("x", "x", cells, "K", "s"), made, ["knn"])
    assert whole.startswith("kNN: the direction agrees")
    assert bank.startswith("kNN, bank alone: the direction agrees")
    assert moco.startswith("kNN, MoCo alone: the direction disagrees")
    assert len(verdicts(Study("x", "x", cells, "K", "s"), made[:3], ["knn"])) == 2


def test_what_was_measured_before_training_is_told_with_its_unit():
    results = [CellResult(curves={"knn": [(0.0, 0.25), (1.0, 0.4)], "accuracy": [(1.0, 0.5)]}), CellResult(failed="x")]
    assert starts(results, ["knn", "accuracy"]) == ["kNN before training: 25.00 %."]
    results.append(CellResult(curves={"knn": [(0.0, 0.3)], "rank": [(0.0, 12.0)]}))
    assert starts(results, ["knn", "rank"]) == [
        "kNN before training: 25.00 to 30.00 %.",
        "effective rank before training: 12.00.",
    ]


def test_where_sizes_were_fitted_the_table_says_which_of_the_papers_stands_beside_ours():
    cells = (Cell("K 8", {}, "8", "", {"knn": 54.7}, "256"), Cell("K 16", {}, "16", "", {"knn": 56.4}, "512"))
    made = [line(c, [CellResult({"knn": v})], ["knn"]) for c, v in zip(cells, (0.1, 0.2), strict=True)]
    head, rows = table(Study("x", "x", cells, "K, and below it the age", "s"), made, ["knn"])
    assert head[-1] == "at the paper's K"
    assert rows == [["K 8", "1", "10.00", "54.7", "256"], ["K 16", "1", "20.00", "56.4", "512"]]


def test_scores_of_a_log_are_its_last_and_curves_go_by_epoch(tmp_path):
    rows = [
        {"step": 0, "epoch": 0, "knn": 0.1},
        {"step": 1, "epoch": 1, "accuracy": 0.2, "loss": 1.0, "images_per_second": 1.0},
        {"step": 5, "epoch": 1, "accuracy": 0.4, "loss": 1.0, "images_per_second": 500.0},
        {"step": 5, "epoch": 1, "knn": 0.3},
    ]
    result = from_log(rows, "{}")
    assert result.scores == {"knn": 0.3, "accuracy": pytest.approx(0.3), "seconds": 2.0}
    assert result.curves["knn"] == [(0.0, 0.1), (1.0, 0.3)]
    write_result(tmp_path / "results" / "a.json", result)
    assert read_result(tmp_path / "results" / "a.json") == result
    assert read_result(tmp_path / "b.json") is None
