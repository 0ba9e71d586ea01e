"""Learning rates and chance levels, as numbers: facts 1.1, 1.8, 1.9 and 1.11."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from moco.health import chance
from moco.optim import learning_rate
from moco.recipe import RECIPES, Cosine, cifar, end_to_end, memory_bank, simclr, v1, v2

PER_EPOCH = 97


def at_epoch(recipe, epoch, within=0):
    """The rate of a step of an epoch, counted from 0."""
    return learning_rate(recipe, epoch * PER_EPOCH + within, PER_EPOCH)


@pytest.mark.parametrize(
    ("epoch", "lr"), [(0, 0.03), (119, 0.03), (120, 0.003), (159, 0.003), (160, 0.0003), (199, 0.0003)]
)
@pytest.mark.parametrize("recipe", [v1(), end_to_end(), memory_bank()], ids=["v1", "end-to-end", "memory-bank"])
def test_v1_and_its_ablations_divide_the_rate_by_ten_at_epochs_120_and_160(recipe, epoch, lr):
    for within in (0, PER_EPOCH - 1):
        assert at_epoch(recipe, epoch, within) == pytest.approx(lr, rel=1e-12)


def test_v2_is_a_half_cosine_counted_in_whole_epochs_from_0():
    for epoch in range(200):
        expected = 0.03 * 0.5 * (1 + math.cos(math.pi * epoch / 200))
        for within in (0, 50, PER_EPOCH - 1):
            assert at_epoch(v2(), epoch, within) == pytest.approx(expected, rel=1e-12)
    assert at_epoch(v2(), 0) == 0.03
    assert at_epoch(v2(), 199) / 0.03 == pytest.approx(6.2e-5, rel=0.01)


@pytest.mark.parametrize(("epoch", "lr"), [(1, 0.059996), (50, 0.051213), (100, 0.030000)])
def test_the_cifar_demo_has_the_rates_of_its_published_log(epoch, lr):
    """The notebook counts its epochs from 1."""
    assert at_epoch(cifar(), epoch - 1) == pytest.approx(lr, abs=5e-7)


def test_the_last_epoch_of_the_cifar_demo_has_rate_0_exactly():
    assert at_epoch(cifar(), 199) == 0
    assert at_epoch(cifar(), 199, PER_EPOCH - 1) == 0


def test_simclr_warms_up_linearly_for_ten_epochs_and_then_follows_a_cosine_step_by_step():
    r, warm, total = simclr(), 10 * PER_EPOCH, 200 * PER_EPOCH
    rates = [learning_rate(r, step, PER_EPOCH) for step in range(total)]
    for step in range(warm):
        assert rates[step] == pytest.approx(0.3 * (step + 1) / warm, rel=1e-12)
    for step in range(warm, total):
        assert rates[step] == pytest.approx(0.15 * (1 + math.cos(math.pi * (step - warm) / (total - warm))), abs=1e-15)
    assert max(rates) == rates[warm - 1] == rates[warm] == pytest.approx(0.3)
    assert 0 < rates[-1] < 1e-6


def test_a_warm_up_longer_than_the_run_only_rises():
    r = replace(simclr(), epochs=5)
    rates = [learning_rate(r, step, PER_EPOCH) for step in range(5 * PER_EPOCH)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.3)


def test_epochs_begin_exactly_at_their_first_step():
    for per_epoch in (1, 3, 7, 97, 195, 5004):
        r = replace(v2(), schedule=Cosine())
        for epoch in (1, 49, 120, 199):
            expected = 0.015 * (1 + math.cos(math.pi * epoch / 200))
            before = 0.015 * (1 + math.cos(math.pi * (epoch - 1) / 200))
            assert learning_rate(r, epoch * per_epoch, per_epoch) == pytest.approx(expected, rel=1e-12)
            assert learning_rate(r, epoch * per_epoch - 1, per_epoch) == pytest.approx(before, rel=1e-12)


@pytest.mark.parametrize("recipe", [make() for make in RECIPES.values()], ids=list(RECIPES))
def test_no_recipe_has_a_negative_or_unbounded_rate(recipe):
    for epoch in range(recipe.epochs or recipe.steps // PER_EPOCH):
        assert 0 <= at_epoch(recipe, epoch, PER_EPOCH - 1) <= recipe.optim.lr


@pytest.mark.parametrize(
    ("recipe", "level"),
    [
        (v1(), 11.0904),
        (v2(), 11.0904),
        (memory_bank(), 11.0904),
        (cifar(), 8.3180),
        (end_to_end(), math.log(256)),
        (simclr(), math.log(2 * 256 - 1)),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_chance_is_the_logarithm_of_the_number_of_candidates(recipe, level):
    assert chance(recipe) == pytest.approx(level, abs=5e-5)
