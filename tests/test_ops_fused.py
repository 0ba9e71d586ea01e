"""The compiled kernels against their twins, and against torchvision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from moco.apply import apply, apply_plain, finish, finish_plain
from moco.ops.kernels import kernels
from moco.recipe import Blur, Jitter, Normalize, View
from moco.recipe.views import MICROSCOPY, SIMCLR, V1, V2
from moco.two_views import draw

PHOTO = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)

pytest.importorskip("numba", reason="the kernels need the extra `fast`")


def photos(n, height, width):
    rng = np.random.default_rng(0)
    tops, lefts = rng.integers(0, 427 - height, n), rng.integers(0, 640 - width, n)
    return torch.stack([PHOTO[:, t : t + height, u : u + width] for t, u in zip(tops, lefts, strict=True)])


def drawn(view, n, height, width):
    return draw(view, np.full(n, height), np.full(n, width), seed=3, epoch=1, index=np.arange(n), number=0)


VIEWS = [V1, V2, MICROSCOPY, replace(SIMCLR, solarize=0.5), replace(V2, order=("blur", "solarize", "gray", "jitter"))]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_compiled_views_equal_the_tensor_functions(view, memory_format):
    pixels, draws = photos(24, 40, 53), drawn(view, 24, 40, 53)
    fast = apply(view, draws, pixels, 32, Normalize(), memory_format)
    assert fast.is_contiguous(memory_format=memory_format)
    plain = apply_plain(view, draws, pixels, torch.empty(24, 3, 32, 32), Normalize())
    assert (fast - plain).abs().max() < 1e-4  # in units of a deviation


@pytest.mark.parametrize("size", [17, 96])
def test_compiled_photometry_of_crops_equals_the_tensor_functions(size):
    crops, photometry = photos(20, size, size), drawn(V2, 20, size, size).photometry
    both = torch.stack([crops.flip(0), crops], dim=1)
    plain = finish_plain(V2, photometry, crops, torch.empty(20, 3, size, size), None)
    assert (finish(V2, photometry, crops, None) - plain).abs().max() < 2e-5
    assert torch.equal(finish(V2, photometry, both, None, number=1), finish(V2, photometry, crops, None))
    assert (finish(V2, photometry, crops.float() / 255, None) - plain).abs().max() < 2e-5


@pytest.mark.parametrize(("size", "sigma"), [(96, (0.1, 0.5)), (41, (0.3, 0.9)), (96, (1.0, 4.0)), (5, (0.1, 2.0))])
def test_a_compiled_blur_of_any_width_equals_the_tensor_functions(size, sigma):
    view = View(jitter=Jitter(p=0.0), gray=0.0, blur=Blur(p=1.0, sigma=sigma))
    crops, photometry = photos(12, size, size), drawn(view, 12, size, size).photometry
    plain = finish_plain(view, photometry, crops, torch.empty(12, 3, size, size), None)
    assert (finish(view, photometry, crops, None) - plain).abs().max() < 1e-5


def test_an_image_without_a_step_is_only_normalised():
    nothing = View(jitter=Jitter(p=0.0), gray=0.0, blur=Blur(p=0.0))
    crops = photos(2, 20, 20)
    out = finish(nothing, drawn(nothing, 2, 20, 20).photometry, crops, None)
    assert (out - crops.float() / 255).abs().max() < 1e-6


def test_threads_do_not_change_a_bit():
    pixels, draws = photos(13, 40, 40), drawn(V2, 13, 40, 40)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = apply(V2, draws, pixels, 32, Normalize())
        torch.set_num_threads(3)
        assert torch.equal(alone, apply(V2, draws, pixels, 32, Normalize()))
    finally:
        torch.set_num_threads(threads)


def test_without_numba_the_tensor_functions_stand_in(monkeypatch):
    pixels, draws = photos(4, 40, 40), drawn(V2, 4, 40, 40)
    compiled = apply(V2, draws, pixels, 32, None)
    monkeypatch.setattr("moco.apply.kernels", lambda: None)
    assert kernels() is not None
    assert torch.equal(
        apply(V2, draws, pixels, 32, None), apply_plain(V2, draws, pixels, torch.empty(4, 3, 32, 32), None)
    )
    assert (apply(V2, draws, pixels, 32, None) - compiled).abs().max() < 2e-5
