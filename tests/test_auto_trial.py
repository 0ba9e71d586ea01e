"""Trials: short trainings that go on where they stopped, and the rates measured by them."""

import multiprocessing

import numpy as np
import pytest
import torch

from moco.auto.rates import seconds_a_step, seconds_an_image_read, seconds_to_cut
from moco.auto.trial import Trial
from moco.data.array import Array
from moco.data.memory import load_memory
from moco.device import Placement
from moco.machine import Machine
from moco.recipe import override, v2

CPU = Placement(torch.device("cpu"), False, False, 1, "")
RECIPE = override(
    v2(),
    {"encoder.backbone": "resnet10w8", "encoder.stem": "half", "image_size": 16, "batch": 16, "encoder.norm_group": 8}
    | {"dictionary.size": 32, "epochs": None, "steps": 1000, "encoder.dim": 16},
)


def trial(digits, tmp_path):
    np.save(tmp_path / "x.npy", digits[0][:64])
    source = Array(str(tmp_path / "x.npy"))
    return Trial(RECIPE, load_memory(source, 1)[0], CPU, Machine(), None), source


def test_a_trial_goes_on_where_it_stopped(digits, tmp_path):
    one, _ = trial(digits, tmp_path)
    other, _ = trial(digits, tmp_path)
    one.go(3)
    one.go(7)
    other.go(7)
    assert one.step == other.step == 7
    pairs = zip(one.encoder.parameters(), other.encoder.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert one.finite()


def test_a_trial_starts_from_what_the_run_starts_from(digits, tmp_path):
    np.save(tmp_path / "x.npy", digits[0][:64])
    memory = load_memory(Array(str(tmp_path / "x.npy")), 1)[0]

    def first(training):
        for p in training.model.query_encoder.parameters():
            torch.nn.init.constant_(p, 0.01)

    one = Trial(RECIPE, memory, CPU, Machine(compile="off"), [], first)
    assert all(bool((p == 0.01).all()) for p in one.encoder.parameters())


class Clockwork:
    """A trial whose steps are said to take the seconds that `took` gives for each."""

    def __init__(self, took):
        self.step, self._took = 0, took

    def go(self, step):
        done, self.step = self.step, step
        return sum(map(self._took, range(done, step)))


def test_slow_steps_count_as_often_as_a_run_has_them():
    uneven = Clockwork(lambda n: 0.01 if n % 4 else 0.05)
    assert seconds_a_step(uneven, 2.0) == pytest.approx(0.02, rel=0.05)


def test_a_step_that_takes_longer_than_patience_is_timed_once():
    heavy = Clockwork(lambda n: 5.0 if n else 9.0)
    assert seconds_a_step(heavy, 2.0) == 5.0
    assert heavy.step == 2


def test_rates_are_positive_seconds(digits, tmp_path):
    one, source = trial(digits, tmp_path)
    assert 0 < seconds_a_step(one) < 60
    assert one.step >= 4
    assert 0 < seconds_to_cut(source, RECIPE) < 1


def test_a_trial_reads_images_as_it_goes_by_processes_that_end_with_it(digits, tmp_path):
    np.save(tmp_path / "x.npy", digits[0][:64])
    source = Array(str(tmp_path / "x.npy"))
    read = Trial(RECIPE, load_memory(source, 1)[0], CPU, Machine(workers=1), None, None, source)
    assert 0 < seconds_an_image_read(read, 4, patience=0.01) < 60
    assert read.step == 5 + 2 + 4, "what was ready before the clock started, two to see how long they take, four"
    assert multiprocessing.active_children()
    read.close()
    assert not multiprocessing.active_children()
