"""Views: drawn by name, worked on in batches, equal to a plain loop over torchvision."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.transforms.v2 import functional

from moco.errors import MocoError
from moco.recipe import Blur, Jitter, View, cifar, v1, v2
from moco.recipe.drawn import Normalize
from moco.recipe.views import CIFAR, MICROSCOPY, SIMCLR, V1, V2
from moco.two_views import Photometry, Views, apply, draw, finish

PHOTO = load_sample_image("china.jpg")  # 427 x 640 x 3
PLAIN = Normalize(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def batch(n, height, width, seed=0):
    """Pieces of a photo, of many sizes, padded with garbage at the bottom and right."""
    rng = np.random.default_rng(seed)
    sizes = np.stack([rng.integers(height // 2, height + 1, n), rng.integers(width // 2, width + 1, n)], 1)
    pixels = rng.integers(0, 256, (n, 3, height, width), dtype=np.uint8)
    for i, (h, w) in enumerate(sizes):
        top, left = rng.integers(0, 427 - h), rng.integers(0, 640 - w)
        pixels[i, :, :h, :w] = PHOTO[top : top + h, left : left + w].transpose(2, 0, 1)
    return torch.from_numpy(pixels), sizes


def drawn(view, n=20000, number=0, epoch=0, seed=0):
    side = np.full(n, 100)
    return draw(view, side, side, seed=seed, epoch=epoch, index=np.arange(n), number=number)


def numbers(draws):
    return {f.name: getattr(part, f.name) for part in (draws.geometry, draws.photometry) for f in fields(part)}


def plain(view, draws, pixels, size, normalize):
    """The official chain, image by image with torchvision: crop, the operations in order, then flips and turn."""
    g, p = draws.geometry, draws.photometry
    views = []
    for i, image in enumerate(pixels):
        x = functional.resized_crop(image.float() / 255, *g.boxes[i].tolist(), [size, size], antialias=True)
        for operation in view.order:
            match operation:
                case "jitter" if p.jitter[i]:
                    for step in p.order[i]:
                        name = ("brightness", "contrast", "saturation", "hue")[step]
                        x = getattr(functional, f"adjust_{name}")(x, float(getattr(p, name)[i]))
                case "gray" if p.gray[i]:
                    x = functional.rgb_to_grayscale(x, num_output_channels=3)
                case "blur" if p.blur[i]:
                    radius = min(int(np.ceil(3 * view.blur.sigma[1])), size - 1)
                    x = functional.gaussian_blur(x, [2 * radius + 1] * 2, [float(p.sigma[i])] * 2)
                case "solarize" if p.solarize[i]:
                    x = functional.solarize(x, 0.5)
        if g.flip[i]:
            x = functional.horizontal_flip(x)
        if g.flip_vertical[i]:
            x = functional.vertical_flip(x)
        x = torch.rot90(x, int(g.quarter[i]), (1, 2))
        views.append(functional.normalize(x, list(normalize.mean), list(normalize.std)))
    return torch.stack(views)


@pytest.mark.parametrize(
    ("view", "size", "side"),
    [
        (V1, 32, 48),
        (V2, 32, 48),
        (V2, 64, 90),
        (CIFAR, 32, 32),
        (MICROSCOPY, 32, 48),
        (replace(SIMCLR, solarize=0.5), 32, 48),
    ],
)
def test_views_equal_a_plain_loop_over_torchvision(view, size, side):
    pixels, sizes = batch(48, side, side + 7)
    draws = draw(view, *sizes.T, seed=1, epoch=2, index=np.arange(48), number=0)
    fast = apply(view, draws, pixels, size, Normalize())
    assert (fast - plain(view, draws, pixels, size, Normalize())).abs().max() < 1e-4  # in units of a deviation


def test_order_of_the_view_is_respected():
    """One orange colour, brightness 1.4 and no colour: clamping before or after the mean makes the difference."""
    jitter = Jitter(contrast=0, saturation=0, hue=0, p=1.0)
    view = View(jitter=jitter, gray=1.0, blur=Blur(p=0.0))
    photometry = drawn(view, 1).photometry
    photometry = replace(photometry, brightness=np.array([1.4]))
    x = torch.tensor([0.9, 0.5, 0.1])[None, :, None, None].expand(1, 3, 4, 4)
    luma = (0.2989, 0.587, 0.114)
    jitter_first = sum(w * min(1.0, 1.4 * c) for w, c in zip(luma, (0.9, 0.5, 0.1), strict=True))
    gray_first = min(1.0, 1.4 * sum(w * c for w, c in zip(luma, (0.9, 0.5, 0.1), strict=True)))
    assert abs(jitter_first - gray_first) > 0.05
    assert torch.allclose(finish(view, photometry, x, None), torch.full((1, 3, 4, 4), jitter_first))
    view = replace(view, order=("gray", "jitter", "blur", "solarize"))
    assert torch.allclose(finish(view, photometry, x, None), torch.full((1, 3, 4, 4), gray_first))


def test_an_image_gets_the_same_views_whatever_the_batch_around_it():
    views = Views(replace(v2(), image_size=32))
    pixels, sizes = batch(40, 40, 50)
    index = np.arange(100, 140)
    together = views(pixels, sizes, index, 3)
    some = np.array([31, 2, 17])
    apart = views(pixels[some], sizes[some], index[some], 3)
    for whole, few in zip(together, apart, strict=True):
        assert (whole[some] - few).abs().max() < 1e-5
    epochs = np.where(np.isin(np.arange(40), some), 3, 4)
    mixed = views(pixels, sizes, index, epochs)[0]
    assert (mixed[some] - together[0][some]).abs().max() < 1e-5
    assert (mixed[0] - together[0][0]).abs().max() > 1e-2


def test_draws_of_an_image_do_not_depend_on_the_batch():
    all_of_them = numbers(drawn(V2, 100))
    side, some = np.full(3, 100), np.array([99, 5, 50])
    few = numbers(draw(V2, side, side, seed=0, epoch=0, index=some, number=0))
    for name, values in few.items():
        assert (values == all_of_them[name][some]).all(), name


@pytest.mark.parametrize("other", [{"number": 1}, {"epoch": 1}, {"seed": 1}])
def test_other_views_epochs_and_seeds_are_independent(other):
    first, second = numbers(drawn(V2)), numbers(drawn(V2, **other))
    for name in first:
        a, b = (np.asarray(d[name], dtype=float).reshape(20000, -1)[:, 0] for d in (first, second))
        if a.std() > 0:
            assert abs(np.corrcoef(a, b)[0, 1]) < 0.03, name


def test_numbers_of_one_image_are_independent_of_each_other():
    every = numbers(drawn(MICROSCOPY))
    every.pop("boxes")
    columns = {k: np.asarray(v, dtype=float).reshape(20000, -1)[:, 0] for k, v in every.items()}
    for (a, x), (b, y) in itertools.combinations(columns.items(), 2):
        if x.std() > 0 and y.std() > 0:
            assert abs(np.corrcoef(x, y)[0, 1]) < 0.03, (a, b)


def test_every_switch_has_its_probability():
    n = 20000
    view = replace(MICROSCOPY, flip=0.3, flip_vertical=0.6, turn=0.75, gray=0.2, solarize=0.1)
    d = drawn(view, n)
    for switch, p in (
        (d.geometry.flip, 0.3),
        (d.geometry.flip_vertical, 0.6),
        (d.geometry.quarter > 0, 0.75),
        (d.geometry.quarter == 2, 0.25),
        (d.photometry.jitter, 0.8),
        (d.photometry.gray, 0.2),
        (d.photometry.blur, 0.3),
        (d.photometry.solarize, 0.1),
    ):
        assert abs(switch.mean() - p) < 3.5 * np.sqrt(p * (1 - p) / n)
    assert drawn(V1).photometry.jitter.all()
    assert not drawn(V1).photometry.blur.any()


def test_factors_shifts_and_sigmas_are_uniform_in_their_ranges():
    p = drawn(V2).photometry
    grid = np.linspace(0, 1, 20001)
    for values, low, high in (
        (p.brightness, 0.6, 1.4),
        (p.contrast, 0.6, 1.4),
        (p.saturation, 0.6, 1.4),
        (p.hue, -0.1, 0.1),
        (p.sigma, 0.1, 2.0),
    ):
        place = np.sort((values - low) / (high - low))
        assert place[0] >= 0
        assert place[-1] <= 1
        assert np.abs(place - grid[:-1]).max() < 1.6 / np.sqrt(20000)


def test_all_24_orders_of_jitter_are_equally_likely():
    order = drawn(V2, 24000).photometry.order
    _, counts = np.unique(order @ [1000, 100, 10, 1], return_counts=True)
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 49.7  # chi squared with 23 degrees of freedom, 0.1 %


def test_worker_and_memory_see_the_same_views():
    recipe = replace(v2(), image_size=64, normalize=PLAIN, key_view=MICROSCOPY)
    n = 12
    pixels = torch.from_numpy(PHOTO.copy()).permute(2, 0, 1).expand(n, -1, -1, -1)
    sizes, index = np.full((n, 2), (427, 640)), np.arange(50, 50 + n)

    bare = View(jitter=Jitter(p=0.0), gray=0.0, blur=Blur(p=0.0), flip_vertical=0.5, turn=0.75)
    crops_only = Views(replace(recipe, query_view=bare, key_view=bare))
    cut = torch.stack([crops_only.cut(PHOTO, 5, int(i)) for i in index])
    for memory, worker in zip(crops_only(pixels, sizes, index, 5), crops_only.finish(cut, index, 5), strict=True):
        assert (memory - worker).abs().max() < 2 / 255

    views = Views(recipe)
    cut = torch.stack([views.cut(PHOTO, 5, int(i)) for i in index])
    for memory, worker in zip(views(pixels, sizes, index, 5), views.finish(cut, index, 5), strict=True):
        difference = (memory - worker).abs()
        assert difference.mean() < 0.5 / 255
        assert difference.max() < 2 / 255 * 1.4**3  # what jitter may make of 2/255


def test_the_crop_of_a_worker_is_the_official_pipelines_to_one_level():
    recipe = replace(v2(), image_size=96)
    crops = Views(recipe).cut(PHOTO, 2, 9)
    for number in (0, 1):
        g = draw(
            V2, np.array([427]), np.array([640]), seed=recipe.seed, epoch=2, index=np.array([9]), number=number
        ).geometry
        crop = functional.resized_crop(Image.fromarray(PHOTO), *g.boxes[0].tolist(), [96, 96])
        if g.flip[0]:
            crop = functional.horizontal_flip(crop)
        assert (crops[number].int() - functional.pil_to_tensor(crop)).abs().max() <= 1


def test_finish_takes_up_where_the_geometry_ended():
    pixels, sizes = batch(10, 40, 40)
    draws = draw(V2, *sizes.T, seed=0, epoch=0, index=np.arange(10), number=0)
    bare = replace(V2, jitter=Jitter(p=0.0))
    off = np.zeros(10, bool)
    untouched = replace(draws.photometry, jitter=off, gray=off, blur=off, solarize=off)
    crops = apply(bare, replace(draws, photometry=untouched), pixels, 32, None)
    assert torch.equal(finish(V2, draws.photometry, crops, Normalize()), apply(V2, draws, pixels, 32, Normalize()))


def test_padding_is_never_seen():
    pixels, sizes = batch(10, 40, 40)
    other = pixels.clone()
    for i, (h, w) in enumerate(sizes):
        other[i, :, h:], other[i, :, :, w:] = 0, 0
    for view in (V2, MICROSCOPY):
        draws = draw(view, *sizes.T, seed=0, epoch=0, index=np.arange(10), number=0)
        assert torch.equal(apply(view, draws, pixels, 32, None), apply(view, draws, other, 32, None))


def test_chunks_and_layout_do_not_change_values(monkeypatch):
    views = Views(replace(v2(), image_size=32))
    pixels, sizes = batch(20, 40, 40)
    index = np.arange(20)
    x_q, x_k = views(pixels, sizes, index, 0)
    last_q, _ = views(pixels, sizes, index, 0, torch.channels_last)
    assert last_q.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last_q, x_q)
    monkeypatch.setattr("moco.apply.CHUNK", 10000)
    for whole, pieces in zip((x_q, x_k), views(pixels, sizes, index, 0), strict=True):
        assert (whole - pieces).abs().max() < 1e-5


def test_autocast_around_the_views_changes_nothing():
    views = Views(cifar())
    pixels, sizes = batch(8, 32, 32)
    plain_q, _ = views(pixels, sizes, np.arange(8), 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast_q, _ = views(pixels, sizes, np.arange(8), 0)
    assert torch.equal(plain_q, cast_q)


def test_nothing_waits_for_the_device():
    """A meta tensor has no values: whatever would read one back fails."""
    view = replace(MICROSCOPY, solarize=0.5)
    pixels, sizes = batch(40, 32, 32)
    draws = draw(view, *sizes.T, seed=0, epoch=0, index=np.arange(40), number=0)
    x = apply(view, draws, pixels.to("meta"), 32, Normalize())
    assert x.shape == (40, 3, 32, 32)


def test_query_and_key_are_drawn_by_their_own_views():
    flat = View(jitter=Jitter(p=0.0), gray=1.0, blur=Blur(p=0.0))
    views = Views(replace(v1(), image_size=32, normalize=PLAIN, key_view=flat))
    pixels, sizes = batch(8, 40, 40)
    x_q, x_k = views(pixels, sizes, np.arange(8), 0)
    assert torch.equal(x_k[:, 0], x_k[:, 2])
    assert not torch.equal(x_q[:, 0], x_q[:, 2])


def test_images_of_another_shape_are_refused():
    with pytest.raises(MocoError, match="32 x 32 and type uint8"):
        Views(cifar()).cut(np.zeros((32, 32), dtype=np.uint8), 0, 0)


def test_photometry_is_drawn_without_the_size_of_the_image():
    a = draw(V2, np.array([10]), np.array([10]), seed=0, epoch=0, index=np.array([3]), number=0)
    b = draw(V2, np.array([90]), np.array([50]), seed=0, epoch=0, index=np.array([3]), number=0)
    assert all((getattr(a.photometry, f.name) == getattr(b.photometry, f.name)).all() for f in fields(Photometry))
