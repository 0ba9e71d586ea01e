"""Blur: a true Gaussian per image, equal to torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from sklearn.datasets import load_sample_image

from moco.ops.blur import blur, blur_plain, blur_radius, gaussian


@pytest.mark.parametrize(("size", "highest"), [(32, 2.0), (96, 2.0), (3, 2.0), (1, 2.0), (24, 0.5)])
def test_blur_equals_its_plain_twin(size, highest):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((12, 3, size, size), dtype=np.float32))
    sigma, on = rng.uniform(0.1, highest, 12), np.arange(12) % 3 != 0
    radius = blur_radius(highest, size)
    y = blur(x, sigma, on, radius)
    assert (y - blur_plain(x, sigma, on, radius)).abs().max() < 1e-5
    assert torch.equal(y[::3], x[::3])


def test_the_kernel_reaches_three_standard_deviations_but_never_past_the_image():
    assert blur_radius(2.0, 224) == 6
    assert blur_radius(1.0, 224) == 3
    assert blur_radius(2.0, 4) == 3


def test_the_kernel_is_a_gaussian_of_sum_one():
    kernel = gaussian(np.array([0.1, 1.0, 2.0]), 6)
    assert np.allclose(kernel.sum(1), 1)
    assert np.allclose(kernel[1:, 7] / kernel[1:, 6], np.exp([-1 / 2, -1 / 8]))
    assert np.allclose(kernel[0], np.eye(13)[6])


def test_blur_is_close_to_the_filter_of_the_official_pipeline():
    photo = Image.fromarray(load_sample_image("flower.jpg")[100:324, 200:424])
    theirs = np.asarray(photo.filter(ImageFilter.GaussianBlur(radius=1.5)), dtype=np.float32) / 255
    x = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255
    ours = blur(x, np.array([1.5]), np.ones(1, bool), 6)[0].permute(1, 2, 0).numpy()
    difference = np.abs(ours - theirs)[8:-8, 8:-8]
    assert difference.mean() < 1 / 255
    assert difference.max() < 8 / 255


def test_nothing_on_is_nothing_done():
    x = torch.rand(2, 3, 8, 8)
    assert blur(x, np.ones(2), np.zeros(2, bool), 3) is x
