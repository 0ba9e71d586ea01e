"""Colours: each batched operation equals a loop over torchvision's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from torch.nn.functional import interpolate

from moco.ops.colour import grayscale, grayscale_plain, jitter, jitter_plain, solarize, solarize_plain

TOLERANCE = 1e-5
"""Of values in [0, 1]; torchvision's hue goes by way of HSV and loses a few more bits than ours."""


def images(kind, n, size=24):
    if kind == "noise":
        return torch.from_numpy(np.random.default_rng(0).random((n, 3, size, size), dtype=np.float32))
    if kind == "few values":  # equal channels, zeros and ones everywhere: the corners of the hue
        return torch.from_numpy(np.random.default_rng(0).integers(0, 3, (n, 3, size, size)).astype(np.float32) / 2)
    photo = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)[None].float() / 255
    shifts = torch.stack([photo[0, :, 2 * i : 2 * i + 300, 5 * i : 5 * i + 300] for i in range(n)])
    return interpolate(shifts, size=(size, size), mode="area")


def draws(n, strength, hue, seed=0):
    rng = np.random.default_rng(seed)
    factors = rng.uniform(max(0, 1 - strength), 1 + strength, (3, n))
    order = np.array(list(itertools.permutations(range(4))))[np.arange(n) % 24]
    return [*factors, rng.uniform(-hue, hue, n), order]


@pytest.mark.parametrize("kind", ["noise", "few values", "photo"])
@pytest.mark.parametrize(("strength", "hue"), [(0.4, 0.1), (0.4, 0.4), (1.0, 0.5)])
def test_jitter_equals_its_plain_twin_in_every_order(kind, strength, hue):
    x = images(kind, 48)
    on = np.arange(48) % 5 != 1
    d = draws(48, strength, hue)
    assert (jitter(x, *d, on) - jitter_plain(x, *d, on)).abs().max() < TOLERANCE


def test_images_that_are_not_jittered_are_left_exactly_as_they_are():
    x = images("noise", 24)
    before = x.clone()
    on = np.arange(24) % 2 == 0
    y = jitter(x, *draws(24, 0.4, 0.1), on)
    assert torch.equal(x, before)
    assert torch.equal(y[1::2], x[1::2])
    assert not torch.isclose(y[::2], x[::2]).all()


def test_factors_of_one_and_no_shift_change_nothing():
    x = images("noise", 24)
    ones, order = np.ones(24), draws(24, 0.4, 0.1)[-1]
    assert torch.equal(jitter(x, ones, ones, ones, 0 * ones, order, np.ones(24, bool)), x)


def test_order_matters_and_each_result_is_clamped():
    x = torch.full((2, 3, 1, 1), 0.8)
    x[:, 2] = 0.2
    up, flat, none = np.full(2, 1.5), np.full(2, 0.5), np.ones(2)
    order = np.array([[0, 2, 1, 3], [2, 0, 1, 3]])  # brightness then saturation, saturation then brightness
    y = jitter(x, up, none, flat, 0 * none, order, np.ones(2, bool))[:, :, 0, 0]
    # clamp(1.2), clamp(1.2), 0.3: gray 0.886 * 1 + 0.114 * 0.3; halfway there
    gray = 0.2989 + 0.587 + 0.114 * 0.3
    assert torch.allclose(y[0], torch.tensor([0.5 + gray / 2, 0.5 + gray / 2, 0.15 + gray / 2]), atol=1e-6)
    gray = (0.2989 + 0.587) * 0.8 + 0.114 * 0.2
    assert torch.allclose(y[1], torch.tensor([1.0, 1.0, 1.5 * (0.1 + gray / 2)]), atol=1e-6)


def test_a_third_of_a_turn_moves_the_channels_on():
    x = images("noise", 1)
    none = np.ones(1)
    y = jitter(x, none, none, none, none / 3, np.array([[3, 0, 1, 2]]), np.ones(1, bool))
    assert torch.allclose(y, x[:, [2, 0, 1]], atol=1e-5)


@pytest.mark.parametrize("kind", ["noise", "few values", "photo"])
def test_grayscale_and_solarize_equal_their_plain_twins(kind):
    x = images(kind, 12)
    on = np.arange(12) % 3 == 0
    assert (grayscale(x, on) - grayscale_plain(x, on)).abs().max() < 1e-6
    for threshold in (0.5, 0.25):
        assert torch.equal(solarize(x, on, threshold), solarize_plain(x, on, threshold))
    assert torch.equal(grayscale(x, on)[1], x[1])


def test_nothing_on_is_nothing_done():
    x = images("noise", 4)
    off = np.zeros(4, bool)
    assert jitter(x, *draws(4, 0.4, 0.1), off) is x
    assert grayscale(x, off) is x
    assert solarize(x, off) is x
