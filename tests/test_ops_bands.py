"""Bands and noise: each fast form is its plain twin, and noise is a function of its key."""

import numpy as np
import pytest
import torch

from moco.ops import bands

RANDOM = np.random.default_rng(0)
N, C, S = 6, 5, 12


@pytest.fixture
def x():
    return torch.rand(N, C, S, S, generator=torch.Generator().manual_seed(0))


def test_brightness_and_contrast_act_on_each_band_by_itself(x):
    brightness, contrast = RANDOM.uniform(0.5, 1.5, (2, N))
    order = np.stack([RANDOM.permutation(4) for _ in range(N)])
    on = np.array([True, False, True, True, False, True])
    found = bands.jitter_bands(x, brightness, contrast, order, on)
    assert torch.allclose(found, bands.jitter_bands_plain(x, brightness, contrast, order, on), atol=1e-6)
    assert found[1].equal(x[1])
    alone = bands.jitter_bands(x[:, 2:3].clone(), brightness, contrast, order, on)
    assert torch.allclose(found[:, 2:3], alone, atol=1e-6)


def test_gain_offset_and_dropped_bands_are_those_of_the_plain_twin(x):
    gain, offset = RANDOM.uniform(0.8, 1.2, (N, C)), RANDOM.uniform(-0.1, 0.1, (N, C))
    keep, zero = RANDOM.random((N, C)) > 0.3, RANDOM.normal(size=C)
    found = bands.gain_and_drop(x, gain, offset, keep, zero)
    assert torch.allclose(found, bands.gain_and_drop_plain(x, gain, offset, keep, zero), atol=1e-5)
    assert not found[~torch.from_numpy(keep)].any()


def test_noise_is_normal_and_that_of_its_plain_twin():
    key = RANDOM.integers(0, 2**63, 4).astype(np.uint64)
    found = bands.noise(torch.Size((4, 3, 64, 64)), key, torch.device("cpu"))
    assert np.abs(found.numpy() - bands.noise_plain(torch.Size((4, 3, 64, 64)), key)).max() < 1e-4
    assert abs(float(found.mean())) < 0.01
    assert float(found.std()) == pytest.approx(1, abs=0.01)
    apart = np.corrcoef(found.reshape(4, -1).numpy())
    assert np.abs(apart - np.eye(4)).max() < 0.03
    near = float((found[..., 1:] * found[..., :-1]).mean())
    assert abs(near) < 0.02


def test_noise_of_an_image_is_the_same_in_any_batch():
    key = RANDOM.integers(0, 2**63, 4).astype(np.uint64)
    whole = bands.noise(torch.Size((4, 2, 8, 8)), key, torch.device("cpu"))
    assert whole[2:3].equal(bands.noise(torch.Size((1, 2, 8, 8)), key[2:3], torch.device("cpu")))


def test_values_become_shares_from_black_to_white_and_are_clipped():
    values = torch.tensor([0, 100, 200, 65535], dtype=torch.uint16).view(1, 1, 2, 2)
    unit = bands.to_unit(values, (1 / 100,), (-1.0,))
    assert unit.flatten().tolist() == pytest.approx([0, 0, 1, 1])
