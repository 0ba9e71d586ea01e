"""What the curves say: synthetic and published curves, and the verdict they must get."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest

from moco.health import can_leak, chance, judge, negatives
from moco.recipe import (
    EndToEnd,
    Momentum,
    Queue,
    cifar,
    end_to_end,
    memory_bank,
    override,
    simclr,
    v1,
    v2,
    v3,
    v3_small,
)

CIFAR_LOG = {
    1: (6.957, 31.98),
    2: (7.250, 33.52),
    3: (7.290, 34.71),
    5: (6.862, 37.95),
    10: (5.991, 48.03),
    20: (4.341, 61.38),
    30: (3.692, 67.05),
    50: (3.195, 73.30),
    75: (2.935, 75.93),
    100: (2.726, 78.06),
    125: (2.573, 79.92),
    150: (2.427, 81.18),
    175: (2.307, 82.42),
    190: (2.276, 82.73),
    200: (2.272, 82.58),
}
"""Epoch: mean loss and kNN of the official asymmetric run (facts 1.11)."""

FIGURE_A1 = {
    "epoch": (1, 3, 5, 10, 14, 20, 30, 40, 60, 80),
    "with": (
        (6.5, 71.0, 88.7, 95.1, 96.1, 96.5, 96.8, 96.6, 96.5, 96.6),
        (0.6, 8.3, 16.8, 28.4, 32.5, 35.6, 38.1, 39.8, 41.5, 41.9),
    ),
    "without": (
        (7.2, 76.1, 91.2, 97.0, 98.5, 99.4, 99.8, 99.9, 99.9, 100.0),
        (0.7, 9.1, 17.8, 25.9, 28.5, 27.3, 26.3, 26.3, 23.7, 22.7),
    ),
}
"""Pretext accuracy and kNN of v1, with and without shuffling BN (facts 2.9)."""


def row(step, loss, **others):
    values = {"accuracy": 0.5, "positive": 0.8, "negative": 0.05, "filled": 1.0}
    return {"step": step, "epoch": 1 + step // 100, "loss": loss} | values | others


def between(points, x):
    """The value at x of straight lines through the points."""
    xs = sorted(points)
    if x <= xs[0]:
        return points[xs[0]]
    left, right = next((a, b) for a, b in itertools.pairwise(xs) if a <= x <= b)
    return points[left] + (points[right] - points[left]) * (x - left) / (right - left)


def test_a_run_without_rows_is_starting():
    assert judge([], v1()).level == "normal"
    assert judge([{"step": 0, "epoch": 0, "knn": 0.1}], v1()).level == "normal"


def at_chance(recipe, steps):
    level = chance(recipe)
    return [row(s, level * (1 + 0.003 * math.sin(s)), accuracy=0.0) for s in range(10, steps + 1, 10)]


@pytest.mark.parametrize("recipe", [v1(), v2(), cifar(), end_to_end(), memory_bank(), simclr()], ids=lambda r: r.name)
def test_chance_for_600_steps_is_not_learning(recipe):
    verdict = judge(at_chance(recipe, 610), recipe)
    assert verdict.level == "bad"
    assert verdict.sentence.startswith("not learning")
    assert f"{chance(recipe):.2f}" in verdict.sentence


@pytest.mark.parametrize("recipe", [end_to_end(), memory_bank(), simclr()], ids=lambda r: r.name)
def test_advice_names_only_flags_that_the_recipe_has(recipe):
    sentence = judge(at_chance(recipe, 610), recipe).sentence
    assert ("--keys.m" in sentence) == isinstance(recipe.keys, Momentum)
    assert ("--dictionary.size" in sentence) == hasattr(recipe.dictionary, "size")


def test_chance_for_200_steps_is_worth_a_look_and_for_50_is_not():
    assert judge(at_chance(v1(), 210), v1()).level == "look"
    assert judge(at_chance(v1(), 50), v1()).level == "normal"


def test_a_run_that_has_left_chance_is_learning_again():
    rows = [*at_chance(v1(), 610), row(620, 9.0), row(630, 8.5)]
    assert judge(rows, v1()).level == "normal"


def test_a_filling_queue_and_a_rising_loss_are_normal():
    """Trap 8: against random keys the loss is low, the accuracy 100 %."""
    r = v1()
    rows = [row(s, 0.2 + 6 * s / 256, accuracy=1 - s / 300, filled=s / 256) for s in range(1, 256, 10)]
    for n in range(1, len(rows) + 1):
        verdict = judge(rows[:n], r)
        assert verdict.level == "normal"
        assert "filling" in verdict.sentence
    assert "98%" in verdict.sentence


def cifar_rows():
    loss = {0: 6.5, **{e: value for e, (value, _) in CIFAR_LOG.items()}}
    knn = {e: value / 100 for e, (_, value) in CIFAR_LOG.items()}
    rows = []
    for step in range(1, 200 * 97 + 1):
        epoch = step / 97
        if step % 10 == 0 or step == 1:
            accuracy = min(0.9, 0.05 + epoch / 100)
            rows.append(row(step, between(loss, epoch), accuracy=accuracy, filled=min(1, step * 512 / 4096)))
        if step % 970 == 0:
            rows.append({"step": step, "epoch": round(epoch), "knn": between(knn, epoch), "rank": 60.0})
    return rows


def test_the_official_cifar_curve_is_normal_from_its_first_to_its_last_step():
    rows = cifar_rows()
    for n in [*range(1, 60), *range(60, len(rows), 37), len(rows)]:
        verdict = judge(rows[:n], cifar())
        assert verdict.level == "normal", (rows[n - 1], verdict)


def test_the_peak_after_filling_is_named_as_what_it_is():
    r = cifar()
    rows = [row(s, 4.0 + 3 * min(s / 8, 1), filled=min(1, s / 8)) for s in range(1, 13)]
    verdict = judge(rows, r)
    assert verdict.level == "normal"
    assert "full" in verdict.sentence
    assert "peak" in verdict.sentence


def test_a_loss_that_rises_long_after_the_queue_is_full_is_worth_a_look():
    rows = [row(s, 3.0 if s < 3000 else 3.0 + (s - 3000) / 500) for s in range(10, 5000, 10)]
    verdict = judge(rows, cifar())
    assert verdict.level == "look"
    assert "rises" in verdict.sentence


def test_one_vector_for_all_images_is_a_collapse():
    rows = [row(s, chance(v1()), accuracy=0.0, positive=0.999, negative=0.998) for s in range(10, 700, 10)]
    verdict = judge(rows, v1())
    assert verdict.level == "bad"
    assert verdict.sentence.startswith("collaps")


def test_a_rank_of_one_is_a_collapse():
    rows = [row(s, 9.0) for s in range(10, 700, 10)]
    rows.append({"step": 690, "epoch": 6, "rank": 1.1})
    assert judge([*rows, row(700, 9.0)], v1()).sentence.startswith("collaps")


def test_similar_images_are_no_collapse_while_keys_are_found():
    rows = [row(s, 6.0, positive=0.99, negative=0.91) for s in range(10, 700, 10)]
    assert judge(rows, v1()).level == "normal"


def figure_a1(which, until=80):
    """Rows of an ImageNet run whose accuracy and kNN follow the figure."""
    accuracy, knn = (dict(zip(FIGURE_A1["epoch"], curve, strict=True)) for curve in FIGURE_A1[which])
    rows = []
    for epoch in range(1, until + 1):
        for part in range(10):
            e = epoch - 1 + (part + 1) / 10
            a = between(accuracy, max(e, 1)) / 100
            rows.append(row(round(e * 5004), 9.5 - 8.5 * a, accuracy=a))
        if epoch in knn:
            rows.append({"step": epoch * 5004, "epoch": epoch, "knn": knn[epoch] / 100, "rank": 300.0})
    return rows


def without_shuffle():
    return override(v1(), {"keys.shuffle": False})


@pytest.mark.parametrize("until", [20, 30, 40, 60, 80])
def test_without_shuffling_the_curves_of_figure_a1_are_a_leak_once_knn_falls(until):
    verdict = judge(figure_a1("without", until), without_shuffle())
    assert verdict.level == "bad"
    assert "leak" in verdict.sentence
    assert "--keys.shuffle" in verdict.sentence
    assert "28.5%" in verdict.sentence


@pytest.mark.parametrize("until", [1, 3, 5, 10, 14, 20, 30, 40, 60, 80])
def test_with_shuffling_the_curves_of_figure_a1_are_normal(until):
    assert judge(figure_a1("with", until), v1()).level == "normal"


def test_without_shuffling_a_contrast_that_is_nearly_always_won_is_worth_a_look_before_knn_falls():
    verdict = judge([row(s, 0.5, accuracy=0.99) for s in range(10, 3000, 10)], without_shuffle())
    assert verdict.level == "look"
    assert "leak" in verdict.sentence


def test_with_shuffling_an_easy_contrast_is_not_called_a_leak():
    """Small data sets are told apart easily (trap 12): that alone says nothing."""
    verdict = judge([row(s, 0.5, accuracy=0.99) for s in range(10, 3000, 10)], v1())
    assert verdict.level == "normal"
    assert "leak" not in verdict.sentence


def test_a_leak_needs_statistics_that_query_and_key_share_and_negatives_do_not():
    assert not can_leak(v1())
    assert not can_leak(cifar())
    assert can_leak(without_shuffle())
    assert can_leak(override(v1(), {"encoder.norm_group": None})), "trap 22: the shuffle of a whole batch is no shuffle"
    assert can_leak(override(v1(), {"encoder.norm_group": 256}))
    assert not can_leak(memory_bank()), "facts 1.4: irrelevant for the memory bank"
    assert not can_leak(simclr()), "all negatives share the statistics too"
    assert not can_leak(end_to_end())


def test_keys_of_the_batch_leak_too_when_groups_are_smaller_than_the_batch_and_not_shuffled():
    """Facts 1.4 and 1.6: the paper's end-to-end ablation shuffles as well."""
    assert can_leak(replace(end_to_end(), keys=EndToEnd(shuffle=False)))


def test_v2_near_6_9_is_normal_and_said_to_be():
    """Trap 9."""
    rows = [row(s, 6.95 - s / 1e6, accuracy=0.768) for s in range(300, 40000, 100)]
    verdict = judge(rows, v2())
    assert verdict.level == "normal"
    assert "6.9" in verdict.sentence
    assert "official" in verdict.sentence


def test_v1_at_epoch_16_is_normal():
    verdict = judge([row(s, 1.25, accuracy=0.954) for s in range(300, 80000, 100)], v1())
    assert verdict.level == "normal"
    assert "6.9" not in verdict.sentence


def test_knn_that_falls_while_the_loss_falls_points_at_the_views():
    rows = []
    for i, knn in enumerate((0.3, 0.4, 0.45, 0.40, 0.38)):
        rows += [row(1000 * i + s, 5.0 - i / 2) for s in range(10, 1000, 10)]
        rows.append({"step": 1000 * (i + 1), "epoch": i + 1, "knn": knn})
    verdict = judge(rows, v1())
    assert verdict.level == "look"
    assert "views" in verdict.sentence


@pytest.mark.parametrize(
    ("recipe", "k"),
    [(v1(), 65536), (cifar(), 4096), (end_to_end(), 255), (simclr(), 510), (memory_bank(), 65536)],
    ids=lambda x: getattr(x, "name", None),
)
def test_the_number_of_negatives_is_that_of_the_dictionary(recipe, k):
    assert negatives(recipe) == k


def test_a_loss_that_is_not_a_number_breaks_no_verdict():
    """The log writes null for it."""
    rows = [row(s, 5.0) for s in range(10, 500, 10)]
    assert judge([*rows, {"step": 500, "epoch": 5, "loss": None}], v1()).level == "normal"


def test_small_queues_are_judged_from_their_first_full_step():
    r = replace(v2(), dictionary=Queue(size=512))
    rows = [row(1, 3.0, filled=0.5), *(row(s, 3.5) for s in range(10, 60, 10))]
    assert judge(rows, r).level == "normal"


def before_training(spread):
    return {"step": 0, "epoch": 0, "rank": 1.0, "alignment": 0.2, "uniformity": 0.0, "spread": spread}


@pytest.mark.parametrize("filled", [0.1, 1.0])
def test_blank_images_are_nothing_to_learn_from_the_first_row_on(filled):
    verdict = judge([before_training(1e-7), row(1, 0.01, accuracy=1.0, filled=filled)], v2())
    assert verdict.level == "bad"
    assert verdict.sentence.startswith("nothing to learn")
    assert judge([before_training(0.01), row(1, 0.01, accuracy=1.0, filled=filled)], v2()).level == "normal"


def test_a_loss_a_hair_below_chance_is_not_called_learning():
    level = chance(v2())
    assert judge([row(10, 0.99 * level, accuracy=0.0)], v2()).sentence.startswith("too early to say")
    assert judge([row(10, 0.9 * level)], v2()).sentence.startswith("normal: learning")


def with_accuracy(values):
    return [row(10 * (n + 1), 4.0, accuracy=value) for n, value in enumerate(values)]


def test_a_dip_of_accuracy_is_the_instability_that_v3_describes():
    dipped = with_accuracy([0.5, 0.52, 0.55, 0.56, 0.58, 0.6, 0.2, 0.4, 0.58, 0.61])
    verdict = judge(dipped, override(v3_small(), {"encoder.frozen_patches": False}))
    assert verdict.level == "look"
    assert "dipped from 56% to 20% at step 70" in verdict.sentence
    assert "--encoder.frozen-patches" in verdict.sentence
    assert "--encoder.frozen-patches" not in judge(dipped, v3_small()).sentence, "it is on already"


def test_noise_a_slow_fall_and_a_queue_are_no_dips():
    noisy = with_accuracy([0.5, 0.42, 0.55, 0.46, 0.58, 0.4, 0.52, 0.44, 0.58, 0.51])
    assert judge(noisy, v3_small()).level == "normal"
    assert judge(with_accuracy([0.1, 0.05, 0.12, 0.09, 0.11, 0.03, 0.1]), v3_small()).level == "normal", (
        "too low to tell"
    )
    dipped = with_accuracy([0.5, 0.52, 0.55, 0.56, 0.58, 0.6, 0.2, 0.4, 0.58, 0.61])
    assert "dipped" not in judge(dipped, v2()).sentence


def test_a_few_dozen_queries_fall_as_far_by_chance_and_that_is_no_dip():
    fell = with_accuracy([0.25, 0.26, 0.22, 0.27, 0.25, 0.25, 0.12, 0.24])
    assert "dipped" not in judge(fell, override(v3_small(), {"batch": 64})).sentence
    assert "dipped from 25% to 12%" in judge(fell, override(v3_small(), {"batch": 512})).sentence
    rng = random.Random(0)
    drawn = [sum(rng.random() < 0.25 for _ in range(128)) / 128 for _ in range(3000)]
    assert "dipped" not in judge(with_accuracy(drawn), override(v3_small(), {"batch": 64})).sentence


def test_at_temperature_1_a_loss_near_chance_may_be_a_good_one():
    recipe = v3()
    assert chance(recipe) == pytest.approx(math.log(4096))
    best = math.log1p(4095 * math.exp(-1))
    rows = [row(s, 0.7 * best + 0.3 * chance(recipe)) for s in range(10, 700, 10)]
    assert judge(rows, recipe).level == "normal"
    assert judge(at_chance(recipe, 610), recipe).level == "bad"
