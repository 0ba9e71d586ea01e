"""Scores without labels: the same sample each time, nothing disturbed, and what blank images give."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from moco.data.array import Array
from moco.device import Placement
from moco.encoder import build_encoder
from moco.labelfree import LabelFree
from moco.preprocess import Preprocess
from moco.recipe import v2
from moco.two_views import Views

CPU = Placement(torch.device("cpu"), bf16=False, channels_last=False, threads=1, reason="")
ENCODER = replace(v2().encoder, backbone="resnet10w8", stem="small", dim=16, norm_group=4)
RECIPE = replace(v2(), encoder=ENCODER, image_size=16)


def scores_of(tmp_path, pixels):
    np.save(tmp_path / "x.npy", pixels)
    preprocess = Preprocess(16, RECIPE.normalize)
    return LabelFree(Array(tmp_path / "x.npy"), RECIPE, Views(RECIPE), preprocess, CPU)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(ENCODER)[0].train()


def test_the_sample_is_spread_over_the_images_and_an_eighth_of_them_at_most(tmp_path, digits):
    index = scores_of(tmp_path, digits[0][:480]).index
    assert len(index) == 60
    assert (index[0], index[-1]) == (0, 479)
    assert len(set(index.tolist())) == 60


def test_scores_are_a_function_of_the_weights_and_disturb_nothing(tmp_path, digits, encoder):
    scores = scores_of(tmp_path, digits[0][:160])
    before, rng = {k: v.clone() for k, v in encoder.state_dict().items()}, torch.get_rng_state()
    first, second = scores(encoder), scores(encoder)
    assert first == second
    assert encoder.training
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)


def test_scores_lie_where_they_can(tmp_path, digits, encoder):
    found = scores_of(tmp_path, digits[0][:160])(encoder)
    assert found.keys() == {"rotation", "rank", "alignment", "uniformity", "spread"}
    assert 1 < found["rank"] <= 20
    assert 0.2 < found["rotation"] <= 1
    assert 0 < found["alignment"] < 4
    assert -4 < found["uniformity"] < 0
    assert 0.01 < found["spread"] < 1


@pytest.mark.parametrize("value", [0, 130, 255])
def test_images_of_one_colour_have_no_spread_and_digits_have(tmp_path, encoder, value):
    found = scores_of(tmp_path, np.full((160, 16, 16), value, dtype=np.uint8))(encoder)
    assert found["spread"] < 1e-6
    assert found["rank"] == pytest.approx(1, abs=0.01)
    assert found["rotation"] < 0.5
