"""The probe: the same images and views for all encoders, and the score that decides among them."""

import numpy as np
import pytest
import torch

from moco.data.memory import Memory
from moco.device import Placement
from moco.encoder import build_encoder
from moco.recipe import override, v2
from moco.scores.probe import Probe, merit, told_by_colour

RECIPE = override(v2(), {"encoder.backbone": "resnet10w8", "encoder.stem": "half", "image_size": 16})
CPU = Placement(torch.device("cpu"), False, False, 1, "")


def memory(digits):
    pixels = torch.from_numpy(np.ascontiguousarray(digits[0][:64]))
    pixels = pixels[:, None].expand(-1, 3, -1, -1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    side = pixels.shape[2]
    start = np.arange(64) * 3 * side * side
    return Memory(pixels.contiguous().reshape(-1), start, np.full((64, 2), side), np.arange(64))


def test_the_same_encoder_gets_the_same_scores_each_a_share(digits):
    torch.manual_seed(0)
    encoder = build_encoder(RECIPE.encoder)[0].train()
    probe = Probe(memory(digits), RECIPE, CPU)
    found = probe(encoder)
    assert set(found) == {"rotation", "retrieval, documents", "retrieval, gentle", "retrieval, photos"}
    assert all(0 <= value <= 1 for value in found.values())
    assert probe(encoder) == found
    assert encoder.training, "left as it was"


def scores(rotation, retrieval):
    return {"rotation": rotation, "retrieval, photos": retrieval}


def test_rotation_decides_where_it_finds_anything():
    merits = merit([scores(0.5, 0.1), scores(0.4, 0.9)])
    assert merits[0] > merits[1]


def test_rotation_decides_however_little_it_differs():
    merits = merit([scores(0.5, 0.1), scores(0.499, 0.3), scores(0.491, 0.2), scores(0.48, 0.9)])
    assert sorted(range(4), key=lambda i: -merits[i]) == [0, 1, 2, 3]
    assert np.isclose(sum(merits), 0)


def test_retrieval_decides_where_images_have_no_up_and_down():
    merits = merit([scores(0.26, 0.1), scores(0.25, 0.9)])
    assert merits[0] < merits[1]


def test_one_encoder_alone_or_equal_ones_have_no_merit_and_do_not_divide_by_zero():
    assert merit([scores(0.5, 0.5)]) == [0.0]
    assert merit([scores(0.5, 0.5)] * 3) == [0.0] * 3


def fringed(upright_too):
    """Noise with a red left edge, as a lens leaves it; with `upright_too` the lower half is also darker."""
    images = np.random.default_rng(0).integers(100, 156, (64, 16, 16, 1), dtype=np.uint8).repeat(3, axis=3)
    images[:, :, :4, 0] += 60
    images[:, :, :4, 1:] -= 30
    if upright_too:
        images[:, 8:] //= 2
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return Memory(pixels.reshape(-1), np.arange(64) * 3 * 256, np.full((64, 2), 16), np.arange(64))


@pytest.mark.parametrize("upright_too", [False, True])
def test_turns_that_only_a_fringe_of_colour_tells_are_told_apart(upright_too):
    torch.manual_seed(0)
    recipe = override(RECIPE, {"encoder.backbone": "resnet10w16"})
    encoder, probe = build_encoder(recipe.encoder)[0], Probe(fringed(upright_too), recipe, CPU)
    rotation = probe(encoder)["rotation"]
    assert rotation > 0.8
    assert told_by_colour(rotation, probe.without_colour(encoder), probe.images) is not upright_too


def test_what_few_photographs_lose_without_colour_by_chance_does_not_count():
    assert not told_by_colour(0.36, 0.30, 190)
    assert told_by_colour(0.36, 0.30, 2048)
    assert told_by_colour(0.45, 0.28, 100), "cells"
