"""A run counted in steps: its length, its rate, going on, and what refuses it."""

from __future__ import annotations

import json

import pytest

from moco.commands.pretrain import pretrain
from moco.data.loader import Plan
from moco.errors import MocoError
from moco.machine import Machine
from moco.optim import learning_rate
from moco.recipe import (
    RECIPES,
    SGD,
    Decay,
    InfoNCE,
    Momentum,
    Queue,
    check,
    from_json,
    ig_1b,
    override,
    to_json,
    v1,
    v2,
)


def test_ig_1b_is_facts_1_9():
    r = ig_1b()
    assert (r.batch, r.encoder.norm_group, r.steps, r.epochs) == (1024, 16, 1_250_000, None)
    assert r.optim == SGD(lr=0.12, momentum=0.9, weight_decay=1e-4)
    assert r.schedule == Decay(every=62_500, factor=0.9)
    assert (r.keys, r.dictionary, r.loss) == (Momentum(m=0.999), Queue(size=65536), InfoNCE(temperature=0.07))
    assert (r.query_view, r.encoder.backbone, r.encoder.dim) == (v1().query_view, "resnet50", 128)
    assert from_json(to_json(r)) == r
    assert RECIPES["ig-1b"]() == r


def test_the_rate_of_ig_1b_falls_by_a_tenth_each_62500_steps_to_0_0162():
    rates = [learning_rate(ig_1b(), step, 976_562) for step in (0, 62_499, 62_500, 1_249_999)]
    assert rates[:2] == [0.12, 0.12]
    assert rates[2] == pytest.approx(0.108)
    assert rates[3] == pytest.approx(0.0162, abs=5e-5)


def test_exactly_one_of_epochs_and_steps_is_given():
    assert (override(v2(), {"steps": 50}).epochs, override(ig_1b(), {"epochs": 3}).steps) == (None, None)
    with pytest.raises(MocoError, match="exactly one"):
        check(override(v2(), {"steps": 50, "epochs": 3}))
    with pytest.raises(MocoError, match="--steps 0"):
        check(override(v2(), {"steps": 0}))


def test_a_cosine_over_steps_ends_with_them():
    r = override(v2(), {"steps": 300, "schedule.per": "step"})
    assert learning_rate(r, 150, 97) == pytest.approx(0.015)
    assert learning_rate(r, 299, 97) < 1e-5


def test_a_plan_in_steps_ends_within_an_epoch():
    plan = Plan(10_000, 10, None, 0, 1250)
    assert (plan.steps, plan.steps_per_epoch, plan.epoch(1249)) == (1250, 1000, 1)


@pytest.mark.parametrize(
    ("steps", "round_", "rounds"),
    [(40_000, 2000, 20), (4000, 200, 20), (1250, 200, 6), (400, 100, 4), (8, 2, 4), (3, 1, 3)],
)
def test_a_plan_in_steps_is_looked_at_twenty_times_or_less_often_where_that_were_too_soon(steps, round_, rounds):
    plan = Plan(10_000, 10, None, 0, steps)
    assert (plan.round, plan.rounds) == (round_, rounds)


TINY = {
    "encoder.backbone": "resnet10w16",
    "encoder.stem": "small",
    "batch": 16,
    "encoder.norm_group": 8,
    "dictionary.size": 64,
    "image_size": 32,
    "steps": 45,
}


def test_auto_trains_for_the_steps_it_is_given_and_more_of_nothing_on_the_same_call(digits_file, tmp_path):
    run = pretrain(digits_file, tmp_path / "run", changes=TINY, machine=Machine(device="cpu", precision="fp32"))
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert max(row["step"] for row in rows) == 45
    assert "rank" in rows[-1] or any(row["step"] == 45 and "rank" in row for row in rows), "judged at its end"
    assert all("epoch" not in row for row in rows if "rank" in row), "a run in steps says after which step"
    assert (run / "report.html").exists()
    pretrain(digits_file, tmp_path / "run", changes=TINY, machine=Machine(device="cpu", precision="fp32"))
    with pytest.raises(MocoError, match="steps was 45, now 46"):
        pretrain(digits_file, tmp_path / "run", changes=TINY | {"steps": 46})
