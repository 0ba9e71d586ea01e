"""Views of images that are no photographs: any bands, any type; compiled forms are their plain twins."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from moco import apply_bands
from moco.errors import MocoError
from moco.ops.kernels import kernels
from moco.recipe import VIEWS, Bands, Noise, Normalize, Pixels, View, v2
from moco.two_views import Views

RANDOM = np.random.default_rng(0)
S = 24
TYPES = {"uint8": 255.0, "uint16": 4095.0, "int16": 3000.0, "float32": 1.0}


def recipe(channels=5, kind="uint16", view="multispectral", **more):
    pixels = Pixels(
        bands=tuple(range(channels)),
        of=channels,
        kind=kind,
        black=(0.0,) * channels,
        white=tuple(TYPES[kind] * (1 + 0.1 * c) for c in range(channels)),
    )
    normalize = Normalize(mean=(0.4,) * channels, std=(0.2,) * channels)
    query = VIEWS[view] if isinstance(view, str) else view
    return replace(v2(), query_view=query, pixels=pixels, normalize=normalize, image_size=S, **more)


def images(n=6, channels=5, kind="uint16", side=40):
    values = RANDOM.random((n, channels, side, side)) * TYPES[kind]
    return torch.from_numpy(values.astype(kind))


def views_of(made, pixels, **how):
    n = len(pixels)
    return made(pixels, np.full((n, 2), pixels.shape[2]), np.arange(n), 3, **how)


@pytest.mark.parametrize("kind", list(TYPES))
@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_compiled_views_are_those_of_tensor_functions(kind, channels, monkeypatch):
    if kernels() is None:
        pytest.skip("needs Numba")
    view = replace(VIEWS["fluorescence"], solarize=0.5, scale=(0.1, 1.0))
    made, pixels = Views(recipe(channels, kind, view)), images(6, channels, kind)
    fast = views_of(made, pixels)
    monkeypatch.setattr("moco.apply.kernels", lambda: None)
    for a, b in zip(fast, views_of(made, pixels), strict=True):
        assert a.shape == (6, channels, S, S)
        assert (a - b).abs().max() < 2e-4


def test_channels_last_has_the_same_values():
    made, pixels = Views(recipe()), images()
    a = views_of(made, pixels)[0]
    b = views_of(made, pixels, memory_format=torch.channels_last)[0]
    assert b.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("kind", list(TYPES))
def test_crops_cut_by_a_worker_are_those_of_memory_up_to_rounding(kind):
    made, pixels = Views(recipe(kind=kind)), images(kind=kind)
    whole = views_of(made, pixels)
    cut = torch.stack([made.cut(p.permute(1, 2, 0).numpy(), 3, i) for i, p in enumerate(pixels)])
    assert cut.dtype == pixels.dtype
    step = {"uint8": 1 / 255, "uint16": 1 / 4095, "int16": 1 / 3000, "float32": 1e-6}[kind]
    for a, b in zip(whole, made.finish(cut, np.arange(6), 3), strict=True):
        assert (a - b).abs().max() < 3 * step / 0.2 + 1e-5


def test_a_view_of_an_image_is_the_same_in_any_batch():
    made, pixels = Views(recipe(view="fluorescence")), images()
    whole = views_of(made, pixels)[0]
    one = made(pixels[4:5], np.full((1, 2), 40), np.array([4]), 3)[0]
    assert torch.allclose(whole[4:5], one, atol=1e-6)


def test_dropped_bands_are_the_mean_and_one_band_always_stays():
    made = Views(recipe(view=View(bands=Bands(drop=1.0), gray=0.0)))
    x = views_of(made, images())[0]
    kept = (x != 0).flatten(2).any(2).sum(1)
    assert kept.tolist() == [1] * 6


def test_noise_has_the_strength_that_was_drawn():
    quiet = View(jitter=replace(View().jitter, p=0.0), gray=0.0, blur=replace(View().blur, p=0.0))
    loud = replace(quiet, noise=Noise(gaussian=0.1, p=1.0))
    a, b = (views_of(Views(recipe(view=view)), images_of_one()) for view in (quiet, loud))
    strength = (b[0] - a[0]).std((1, 2, 3)) * 0.2
    assert (strength < 0.105).all()
    assert strength.max() > 0.01


def images_of_one():
    return torch.full((6, 5, 40, 40), 2000, dtype=torch.uint16)


def test_photographs_take_noise_too_and_are_as_they_were_without():
    photos = replace(v2(), image_size=S)
    pixels = torch.from_numpy(RANDOM.integers(0, 255, (4, 3, 40, 40)).astype(np.uint8))
    noisy = replace(photos, query_view=replace(photos.query_view, noise=Noise(speckle=0.2, p=1.0)))
    a, b = (Views(one)(pixels, np.full((4, 2), 40), np.arange(4), 0)[0] for one in (photos, noisy))
    assert not torch.allclose(a, b, atol=1e-2)
    assert torch.allclose(a, b, atol=3)


def test_deep_colour_keeps_hue_and_saturation():
    pixels = Pixels(colour="rgb", of=3, kind="uint16", black=(0.0,) * 3, white=(65535.0,) * 3)
    deep = Views(replace(v2(), image_size=S, pixels=pixels))
    flat = Views(replace(v2(), image_size=S))
    values = torch.from_numpy(RANDOM.integers(0, 255, (4, 3, 40, 40)).astype(np.uint8))
    wide = torch.from_numpy(values.numpy().astype(np.uint16) * 257)
    where = np.full((4, 2), 40), np.arange(4), 0
    for a, b in zip(deep(wide, *where), flat(values, *where), strict=True):
        assert (a - b).abs().max() < 1e-3


def test_finish_is_its_plain_twin():
    r = recipe(3, "uint8", "xray")
    made, crops = Views(r), images(4, 3, "uint8", S)
    out = torch.empty(4, 3, S, S)
    key = apply_bands_photometry(made)
    fast = apply_bands.finish_bands(r.query_view, key, crops, r.pixels, r.normalize)
    plain = apply_bands.finish_bands_plain(r.query_view, key, crops, out, r.pixels, r.normalize)
    assert (fast - plain).abs().max() < 2e-4


def apply_bands_photometry(made):
    from moco.drawn import key_of, photometry_of

    return photometry_of(made.views[0], key_of(0, 0, np.arange(4), 0))


def test_another_type_or_number_of_bands_is_refused():
    with pytest.raises(MocoError, match="give height x width x 5 of uint16"):
        Views(recipe()).cut(np.zeros((8, 8, 4), np.uint16), 0, 0)
