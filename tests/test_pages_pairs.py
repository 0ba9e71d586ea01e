"""The hardest pairs are the hardest: what is not found comes first, and copies are no negatives that look alike."""

import numpy as np
import pytest
import torch
from torch import nn

from moco.data.array import Array
from moco.device import place
from moco.encoder import Encoder
from moco.machine import Machine
from moco.pages.pairs import SHOWN, hardest
from moco.recipe import override, v2

SIDE = 16
PLACE = place(Machine(device="cpu", precision="fp32", threads=1))
SAME = {
    "query_view.scale": (1.0, 1.0),
    "query_view.ratio": (1.0, 1.0),
    "query_view.flip": 0.0,
    "query_view.gray": 0.0,
    "query_view.jitter.p": 0.0,
    "query_view.blur.p": 0.0,
}
"""Both views are the image itself."""


class Pixels(nn.Module):
    """Features that are the pixels."""

    def forward(self, x):
        return x.flatten(1)


def recipe_of(**changes):
    return override(v2(), {"image_size": SIDE} | changes)


def source_of(tmp_path, pixels):
    np.save(tmp_path / "x.npy", pixels)
    return Array(str(tmp_path / "x.npy"))


def noise(n):
    return np.random.default_rng(0).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


def encoder():
    return Encoder(Pixels(), nn.Identity())


def test_where_both_views_are_the_same_every_one_is_found(tmp_path):
    found = hardest(source_of(tmp_path, noise(20)), encoder(), recipe_of(**SAME), PLACE, 20, 0)
    assert (found.images, found.found, found.missed) == (20, 20, [])


def test_the_two_images_that_are_most_alike_come_first_and_copies_are_left_out(tmp_path):
    pixels = noise(12)
    pixels[3] = np.where(np.arange(SIDE)[:, None, None] < 12, pixels[8], pixels[3])  # three quarters of another image
    pixels[5] = pixels[10]
    found = hardest(source_of(tmp_path, pixels), encoder(), recipe_of(**SAME), PLACE, 12, 0)
    first, second = found.alike[0]
    assert {first.name[-2:], second.name[-2:]} == {name[-2:] for name in (name_of(tmp_path, 3), name_of(tmp_path, 8))}
    assert second.cosine > 0.5
    shown = [{one.name, two.name} for one, two in found.alike]
    assert {name_of(tmp_path, 5), name_of(tmp_path, 10)} not in shown
    assert len(found.alike) <= SHOWN
    names = [tile.name for pair in found.alike for tile in pair]
    assert len(set(names)) == len(names), "no image is shown twice"


def name_of(tmp_path, i):
    return Array(str(tmp_path / "x.npy")).name(i)


def test_what_is_farthest_from_being_found_comes_first(tmp_path):
    found = hardest(source_of(tmp_path, noise(24)), encoder(), recipe_of(), PLACE, 24, 0)
    assert found.found < found.images == 24
    assert 0 < len(found.missed) <= SHOWN
    gaps = [pair.taken.cosine - pair.own.cosine for pair in found.missed]
    assert gaps == sorted(gaps, reverse=True)
    assert min(gaps) > 0
    assert all(pair.place > 1 and pair.query.name == pair.own.name != pair.taken.name for pair in found.missed)


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_two_images_have_no_pairs(n, tmp_path):
    found = hardest(source_of(tmp_path, noise(2)), encoder(), recipe_of(**SAME), PLACE, n, 0)
    assert (found is None) == (n < 2)


def test_the_same_run_shows_the_same_pairs(tmp_path):
    source = source_of(tmp_path, noise(10))
    torch.manual_seed(1)
    one = hardest(source, encoder(), recipe_of(), PLACE, 10, 3)
    torch.manual_seed(2)
    assert one == hardest(source, encoder(), recipe_of(), PLACE, 10, 3)
    assert one != hardest(source, encoder(), recipe_of(), PLACE, 10, 4)
