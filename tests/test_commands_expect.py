"""How long a run will take: said where it is long, with what else could be done, and not measured where it is short."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from moco.commands import expect as module
from moco.commands.expect import expect
from moco.commands.start import Start
from moco.data.array import Array
from moco.data.memory import load_memory
from moco.data.survey import survey
from moco.device import Placement
from moco.machine import Machine
from moco.recipe import override, v2

CPU = Placement(torch.device("cpu"), False, False, 1, "")
SMALL = {"encoder.backbone": "resnet10w8", "encoder.stem": "half", "image_size": 16, "batch": 32, "encoder.dim": 16}
RECIPE = override(v2(), SMALL | {"encoder.norm_group": 8})


class Heard:
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def begun(digits, tmp_path):
    np.save(tmp_path / "x.npy", digits[0][:64])
    source = Array(str(tmp_path / "x.npy"))
    memory = load_memory(source, 1)[0]
    return Start(None, source, survey(source), Machine(device="cpu"), Heard(), {}, CPU, None, memory)


def test_a_short_run_is_not_measured(begun, monkeypatch):
    monkeypatch.setattr(module, "_seconds_an_image", lambda *_: pytest.fail("measured"))
    expect(begun, RECIPE, 100)
    assert begun.tell.notes == []


def test_a_run_of_days_is_told_with_its_end_and_the_alternatives(begun):
    expect(begun, RECIPE, 1_000_000_000)
    first, second = begun.tell.notes
    assert "1,000,000,000 steps of 32 images take about" in first
    assert "days" in first
    assert "--time 2h" in second


def test_a_run_of_minutes_is_told_and_no_more(begun, monkeypatch):
    monkeypatch.setattr(module, "EVIDENT", {"cpu": 0.0, "cuda": 0.0})
    expect(begun, RECIPE, 10)
    assert len(begun.tell.notes) == 1


def test_a_run_that_reads_its_images_as_it_goes_is_told_with_that_reading(begun, monkeypatch):
    monkeypatch.setattr(module, "EVIDENT", {"cpu": 0.0, "cuda": 0.0})
    monkeypatch.setattr(module, "READING", 100.0)
    monkeypatch.setattr("moco.auto.rates.seconds_an_image_read", lambda *_: 3600 / 32)
    expect(replace(begun, memory=None, machine=replace(begun.machine, workers=1)), RECIPE, 24_000)
    assert "about 1000 days" in begun.tell.notes[0]


def test_reading_is_not_measured_where_that_takes_long(begun, monkeypatch):
    monkeypatch.setattr(module, "READING", 1e-9)
    monkeypatch.setattr("moco.auto.rates.seconds_an_image_read", lambda *_: pytest.fail("measured"))
    expect(replace(begun, memory=None), RECIPE, 24_000_000)
    assert len(begun.tell.notes) == 2
