"""What queries do not see: drawn by place and step, never more or less than asked for, and nothing that keys miss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from moco.errors import MocoError
from moco.hidden import AREA, Hidden, erase, erase_plain
from moco.recipe import check, end_to_end, override, v2, v3_small

X = torch.ones(6, 3, 32, 32)


def hidden(**changes):
    return Hidden.of(override(v3_small(), {f"query_view.{name}": value for name, value in changes.items()}))


def test_half_of_the_patches_are_kept_each_once_and_in_order():
    kept = hidden(keep=0.5).kept(3, 0, slice(0, 6), X)
    assert kept.shape == (6, 32)
    assert (kept.diff(dim=1) > 0).all()
    assert 0 <= kept.min() <= kept.max() < 64
    assert len({tuple(row) for row in kept.tolist()}) == 6, "no two images alike"


def test_what_is_hidden_is_a_function_of_seed_step_place_and_turn():
    h = hidden(keep=0.25, erase=0.5)
    whole = h.kept(3, 0, slice(0, 6), X)
    assert torch.equal(torch.cat([h.kept(3, 0, slice(0, 2), X), h.kept(3, 0, slice(2, 6), X)]), whole)
    others = [h.kept(4, 0, slice(0, 6), X), h.kept(3, 1, slice(0, 6), X), replace(h, seed=1).kept(3, 0, slice(0, 6), X)]
    assert not any(torch.equal(other, whole) for other in others)
    erased = h.erased(X, 3, 0, slice(0, 6))
    assert torch.equal(torch.cat([h.erased(X[:2], 3, 0, slice(0, 2)), h.erased(X[2:], 3, 0, slice(2, 6))]), erased)


def test_nothing_is_hidden_unless_asked_for():
    h = hidden()
    assert h.kept(0, 0, slice(0, 6), X) is None
    assert h.erased(X, 0, 0, slice(0, 6)) is X


def test_every_patch_is_kept_as_often_as_any_other():
    kept = hidden(keep=0.5).kept(0, 0, slice(0, 4000), X)
    counts = torch.bincount(kept.flatten(), minlength=64) / 4000
    assert (counts - 0.5).abs().max() < 0.05


def test_the_erased_rectangles_have_the_papers_sizes_and_are_as_many_as_asked_for():
    h = hidden(erase=0.25)
    x = torch.ones(2000, 1, 32, 32)
    gone = 1 - h.erased(x, 1, 0, slice(0, 2000)).mean(dim=(1, 2, 3))
    some = gone[gone > 0]
    assert len(some) / 2000 == pytest.approx(0.25, abs=0.03)
    assert AREA[0] * 0.5 <= some.min() <= some.max() <= AREA[1] * 1.1


def test_erasing_is_its_plain_twin():
    boxes = torch.tensor([[0, 0, 0, 0], [2, 3, 9, 11], [0, 0, 32, 32], [31, 31, 32, 32], [5, 0, 6, 32], [1, 2, 3, 4]])
    x = torch.randn(6, 3, 32, 32)
    assert torch.equal(erase(x, boxes), erase_plain(x, boxes))
    assert torch.equal(erase(x, boxes)[0], x[0])


@pytest.mark.parametrize(
    ("recipe", "changes", "words"),
    [
        (v2(), {"query_view.keep": 0.5}, "resnet50 has no patches to drop; take a ViT"),
        (v3_small(), {"query_view.keep": 0.0}, "above 0 and at most 1"),
        (v3_small(), {"query_view.keep": 0.001}, "no patch is left of the 64"),
        (v3_small(), {"key_view.keep": 0.5}, "keys are of whole views"),
        (v2(), {"query_view.erase": 1.5}, "must lie between 0 and 1"),
        (end_to_end(), {"query_view.erase": 0.5}, "query and key at once"),
        (v3_small(), {"image_size": 64}, "is for images of 32 px; take vit6w192p4s64"),
        (v3_small(), {"image_size": 30}, "its patches of 4 px do not divide 30"),
        (v2(), {"encoder.frozen_patches": True}, "resnet50 has no projection of patches"),
    ],
)
def test_what_cannot_be_hidden_or_frozen_is_refused_in_a_sentence(recipe, changes, words):
    with pytest.raises(MocoError, match=words):
        check(override(recipe, changes))
