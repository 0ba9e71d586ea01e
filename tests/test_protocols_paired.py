"""Whether pretraining paid: by the spread of differences on the same draws and images, and never beyond it."""

import numpy as np
import pytest
from scipy import stats

from moco.protocols.labels import PerClass, Share
from moco.protocols.paired import Difference, difference, verdict


def hits(draws, images, shares, seed=0):
    """Random hits with these shares of each draw, where one easy image is easy for all that have the same seed."""
    ease = np.random.default_rng(seed).random((draws, images))
    return ease < np.broadcast_to(np.asarray(shares)[..., None], (draws, 1))


def test_the_interval_is_student_s_over_draws_and_the_normal_one_over_images():
    a, b = hits(5, 300, [0.5, 0.6, 0.55, 0.52, 0.58]), hits(5, 300, 0.4, seed=1)
    gap = a.astype(float) - b
    by_draw = stats.t.interval(0.95, 4, 0, stats.sem(gap.mean(axis=1)))[1]
    by_image = stats.norm.interval(0.95, 0, stats.sem(gap.mean(axis=0)))[1]
    found = difference(a, b)
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert found.half == pytest.approx(np.sqrt(by_draw**2 + by_image**2))


def test_a_single_judged_image_tells_nothing_apart():
    found = difference(np.ones((5, 1), dtype=bool), np.array([[0], [0], [1], [0], [1]], dtype=bool))
    assert found.half == np.inf
    assert found.verdict == "within"


def test_luck_that_both_have_in_common_does_not_hide_a_difference():
    """Draws from 30 to 70 %, and one encoder 5 points above the other on each."""
    shares = np.linspace(0.3, 0.7, 6)
    ours, other = hits(6, 2000, shares + 0.05), hits(6, 2000, shares)
    assert difference(ours, other).verdict == "above"
    assert difference(other, ours).verdict == "below"


def test_equal_encoders_are_told_apart_about_once_in_twenty_times():
    told = 0
    for trial in range(200):
        luck = np.random.default_rng(trial).normal(0.5, 0.05, size=(2, 5))
        told += difference(hits(5, 400, luck[0], 2 * trial), hits(5, 400, luck[1], 2 * trial + 1)).verdict != "within"
    assert told <= 20, "5 % of 200, and three standard deviations"


def test_a_single_draw_and_few_images_claim_nothing():
    one = {"this encoder": [hits(1, 100, 0.9)], "untrained": [hits(1, 100, 0.1)]}
    assert "One draw says nothing" in verdict([PerClass(1)], one, ["untrained"], "frozen features")
    ten = difference(hits(5, 10, 0.6), hits(5, 10, 0.4, seed=1))
    assert ten.verdict == "within"


def test_the_sentence_says_for_each_amount_whether_pretraining_paid_beside_the_best_that_was_not_pretrained():
    first = [hits(5, 1000, s) for s in (0.3, 0.6, 0.5)]
    table = {
        "this encoder": first,
        "untrained": [hits(5, 1000, s) for s in (0.1, 0.5, 0.45)],
        "pixels": [hits(5, 1000, s) for s in (0.2, 0.4, 0.7)],
        "other.pth": [hits(5, 1000, s) for s in (0.4, 0.6, 0.6)],
    }
    amounts = [PerClass(1), PerClass(5), Share(0.01)]
    text = verdict(amounts, table, ["untrained", "pixels"], "frozen features")
    paid, paid_too, not_paid, beside = text.split(". ")
    assert paid.startswith("Pretraining paid (frozen features): this encoder is above pixels by 9.0 points (")
    assert paid.endswith("with 1 label per class")
    assert "above untrained" in paid_too
    assert paid_too.endswith("with 5 labels per class")
    assert not_paid.startswith("Pretraining did not pay (frozen features): this encoder is below pixels")
    assert not_paid.endswith("with 1% of the labels")
    assert beside.startswith("Beside another encoder (frozen features): this encoder minus other.pth is -")
    same = {"this encoder": first[:1], "untrained": first[:1]}
    text = verdict(amounts[:1], same, ["untrained"], "fine-tuned end to end")
    assert text.startswith("No difference beyond the spread (fine-tuned end to end): this encoder minus untrained")
    assert "paid" not in text


def test_a_difference_is_said_to_be_100_points_at_the_most():
    assert Difference(0.012, 1.039).points() == "+1.2 points (-100.0 to +100.0)"
