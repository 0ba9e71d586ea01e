"""Curves as SVG: round ticks, the same picture for a long log, and the numbers as a table."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from moco.pages.drawing import MOST_POINTS, SIZES, Line, Plot, csv, said, svg, ticks


def line(n=5, name="loss", **more):
    return Line(name, np.arange(1.0, n + 1), np.linspace(3, 1, n), **more)


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.13, 0.19, [0.14, 0.16, 0.18]), (-3.9, 0, [-3, -2, -1, 0]), (5, 5, [5])],
)
def test_ticks_are_round_and_within(low, high, found):
    assert ticks(low, high, 5) == pytest.approx(found)


def test_ticks_of_steps_are_whole():
    assert ticks(0, 3, 5, whole=True).tolist() == [0, 1, 2, 3]
    assert ticks(0, 1, 5, whole=True).tolist() == [0, 1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n", [1, 2, 30, 5000])
def test_every_picture_is_well_formed_and_lies_within_its_frame(size, n):
    plot = Plot(
        [line(n), line(n, "other", tone="second")], n, 0.5, 2.5, level=(2.0, "chance"), shaded=(n / 2, "filling")
    )
    root = ElementTree.fromstring(svg(plot, size, "Loss"))
    width, height = SIZES[size]
    for path in root.iter("path"):
        numbers = [float(x) for x in re.findall(r"-?[\d.]+", path.attrib["d"].replace("V", " ").replace("H", " "))]
        assert min(numbers) >= 0
        assert max(numbers) <= max(width, height)
    assert root.attrib["aria-label"].startswith("Loss by step: loss 3 at step 1")


def test_names_are_text():
    plot = Plot([line(2, '<script>"x"')], 2, 0, 3)
    root = ElementTree.fromstring(svg(plot, "wide", "a & b"))
    assert [t.text for t in root.iter("text") if t.attrib["class"] == "key"] == ['<script>"x"']


def test_one_step_is_said_once():
    assert said(Plot([line(1)], 1, 0, 3, percent=True), "Found") == "Found by step: loss 300.0% at step 1"


def test_steps_of_one_axis_are_written_alike():
    def shown(last):
        root = ElementTree.fromstring(svg(Plot([line(2)], last, 0, 3), "wide", "x"))
        return [t.text for t in root.iter("text") if t.attrib["class"] == "x"][:-1]

    assert shown(2000) == ["0", "500", "1,000", "1,500", "2,000"]
    assert shown(15_000) == ["0", "5k", "10k", "15k"]


def test_numbers_are_a_table_of_every_curve_and_never_long():
    other = Line("a, b", np.array([2.0]), np.array([9.0]))
    assert csv([line(2), other]) == 'step,loss,"a, b"\n1,3,\n2,1,9\n'
    assert csv([line(10 * MOST_POINTS)]).count("\n") == MOST_POINTS + 1


def test_values_beyond_the_picture_are_told_at_its_edge():
    line = Line("loss", np.array([1.0, 10.0, 20.0]), np.array([0.129, 4.6, 3.4]))
    assert "↓ 0.129" in svg(Plot([line], 20, 2.9, 5.5), "wide", "Loss")
    assert "↓" not in svg(Plot([line], 20, 0.0, 5.5), "wide", "Loss")


def test_parts_of_a_minute_have_ticks_of_their_own():
    line = Line("a", np.array([0.0, 0.7]), np.array([0.4, 0.5]))
    drawn = svg(Plot([line], 0.7, 0, 1, across="minutes"), "wide", "kNN")
    found = re.findall(r'<text class="x"[^>]*>([^<]+)<', drawn)
    assert found == ["0", "0.2", "0.4", "0.6", "minutes"]
