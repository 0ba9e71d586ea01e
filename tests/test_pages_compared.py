"""Several runs on one page, from rows that are made here."""

import math
from dataclasses import replace

import numpy as np
import pytest

from moco.pages.compared import TONES, Compared, compare_html, different, minutes, overlaid, tables, tone
from moco.protocols.result import Cell, Result
from moco.recipe import override, v2

NASTY = "a \"run\"\n<script>alert('x')</script>, & more"


CHANCE = math.log1p(1024)


def rows(n=40, chance=CHANCE, loss=3.0, rate=100.0):
    made = []
    for step in range(n):
        made.append({"step": step, "epoch": 0, "loss": loss, "chance": chance, "accuracy": 0.5, "lr": 0.1,
                     "images_per_second": rate})  # fmt: skip
        if step % 10 == 0:
            made.append({"step": step, "epoch": 0, "knn": step / 100, "rank": 5.0 + step})
    return made


def result(value, data="labelled", column="linear"):
    return Result(
        protocol="linear", data=data, title="Linear", columns=[column],
        rows={"encoder": [Cell(value, None, (value - 0.02, value + 0.02))], "untrained": [Cell(0.99)]}, settings={},
    )  # fmt: skip


def titles(runs):
    return [curve.title for group in overlaid(runs) for curve in group.curves]


def test_every_quantity_is_one_picture_with_a_line_for_each_run():
    runs = [Compared("a", v2(), rows()), Compared("b", v2(), rows(loss=2.0))]
    assert titles(runs) == [
        "Loss", "kNN on the watched images", "kNN against minutes", "Contrast accuracy", "Effective rank",
        "Learning rate", "Speed",
    ]  # fmt: skip
    loss = overlaid(runs)[0].curves[0]
    assert loss.picture.count('class="line run0"') == 1
    assert loss.picture.count('class="line run1"') == 1
    assert loss.picture.count('class="level"') == 1, "the same chance for both"
    assert loss.numbers.splitlines()[0] == "step,a,b"
    assert overlaid(runs)[0].curves[2].numbers.splitlines()[0] == "minutes,a,b"


def test_runs_with_other_negatives_have_chance_levels_of_their_own():
    runs = [Compared("a", v2(), rows()), Compared("b", v2(), rows(chance=math.log1p(64)))]
    loss = overlaid(runs)[0].curves[0]
    assert "run0 chance" in loss.picture
    assert "run1 chance" in loss.picture
    assert 'class="level"' not in loss.picture


def test_minutes_are_those_of_steps_over_all_sittings():
    run = Compared("a", replace(v2(), batch=60), rows(n=41, rate=10.0))
    steps, took = minutes(run)
    assert (steps[0], took[0]) == (0, 0)
    assert took[-1] == pytest.approx(40 * 60 / 10 / 60)
    assert np.all(np.diff(took) >= 0)
    drawn = next(c for g in overlaid([run]) for c in g.curves if c.title == "kNN against minutes")
    assert ">minutes</text>" in drawn.picture


def test_empty_runs_and_runs_of_one_step_are_drawn():
    one = Compared("one", v2(), [{"step": 1, "epoch": 0, "loss": 2.0}])
    assert titles([Compared("empty", v2(), []), one]) == ["Loss"]
    assert overlaid([Compared("empty", v2(), [])]) == []
    html = compare_html([Compared("empty", v2(), []), one], [], 0, [])
    assert "None of these runs has been judged" in html


def test_only_what_differs_is_in_the_table():
    runs = [
        Compared("a", v2(), [], about={"computed in": "fp32", "version of moco": "1"}),
        Compared(
            "b", override(v2(), {"loss.temperature": 0.07}), [], about={"computed in": "bf16", "version of moco": "1"}
        ),
    ]
    assert different(runs) == [("computed in", ["fp32", "bf16"]), ("loss.temperature", ["0.2", "0.07"])]
    assert different([runs[0], runs[0]]) == []


def test_evaluations_of_one_kind_are_one_table_of_the_encoders_themselves():
    runs = [
        Compared("a", v2(), [], [result(0.5), result(0.4, data="other")]),
        Compared("b", v2(), [], [result(0.6)]),
        Compared("c", v2(), []),
    ]
    first, second = tables(runs)
    assert [(row.name, row.scores[0].value, row.scores[0].best) for row in first.rows] == [
        ("a", "50.0", False),
        ("b", "60.0", True),
    ]
    assert first.rows[0].scores[0].interval == "48.0 to 52.0"
    assert [row.name for row in second.rows] == ["a"]


def test_what_is_said_of_one_encoder_is_said_by_its_name():
    told = [replace(result(0.5), note=f"this encoder minus pixels is {n}") for n in (1, 2)]
    runs = [Compared(name, v2(), rows(), [one]) for name, one in zip("ab", told, strict=True)]
    (table,) = tables(runs)
    assert table.note == "a: this encoder minus pixels is 1\nb: this encoder minus pixels is 2"
    quick = [Compared(name, v2(), rows(), [replace(result(0.5), note="a quick look")]) for name in "ab"]
    assert tables(quick)[0].note == "a quick look"
    assert "a: this encoder minus pixels is 1</p>" in compare_html(runs, [], 0, [])


def test_many_runs_have_colours_and_then_dashes():
    assert tone(0) == "run0"
    assert tone(TONES) == "run0 dashed"


def test_names_never_become_html():
    html = compare_html([Compared(NASTY, v2(), rows()), Compared("b", v2(), rows())], [], 0, [NASTY])
    assert "<script>alert" not in html
    assert "alert(&#39;x&#39;)" in html or "alert(&#x27;x&#x27;)" in html


def test_forty_long_runs_are_below_two_megabytes():
    runs = [Compared(f"run {n}", v2(), rows(n=800)) for n in range(40)]
    assert len(compare_html(runs, [], 0, [])) < 2e6
