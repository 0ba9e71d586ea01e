"""What is decoded is kept: the same batches, and no file is read twice while there is room."""

import pytest
import torch
from test_commands_transfer import small
from transfer_data import make_coco, make_masks

from moco.transfer import views
from moco.transfer.batches import Loader
from moco.transfer.kept import Kept
from moco.transfer.layouts.coco import read_coco
from moco.transfer.layouts.masks import read_masks


def test_the_first_that_fit_are_kept():
    kept, made = Kept(12), []

    def make(name, size):
        def here():
            made.append(name)
            return torch.zeros(size, dtype=torch.uint8)

        return here

    for name, size in [("a", 8), ("b", 8), ("c", 4), ("a", 8), ("b", 8), ("c", 4)]:
        assert len(kept.get(name, make(name, size))) == size
    assert made == ["a", "b", "c", "b"]


@pytest.mark.parametrize(
    ("task", "make", "read"), [("segment", make_masks, read_masks), ("detect-coco", make_coco, read_coco)]
)
def test_batches_are_the_same_and_each_image_is_decoded_once(tmp_path, monkeypatch, task, make, read):
    part, _ = read(make(tmp_path / "data"), None, None)
    recipe = small(task, **{"schedule.steps": 6})
    plain = list(Loader(recipe, part, 0, 0).steps(0))
    decoded = []
    monkeypatch.setattr(views, "decode", lambda raw, decode=views.decode: decoded.append(1) or decode(raw))
    kept = list(Loader(recipe, part, 0, 0, memory_gib=1).steps(0))
    assert len(decoded) == len(part.images) < 6 * recipe.batch
    for one, other in zip(plain, kept, strict=True):
        for a, b in zip(one.groups, other.groups, strict=True):
            assert torch.equal(a.pixels, b.pixels)
            assert a.labels is b.labels is None or torch.equal(a.labels, b.labels)
            assert all(torch.equal(s.boxes, t.boxes) for s, t in zip(a.targets, b.targets, strict=True))
            assert all(torch.equal(s.masks, t.masks) for s, t in zip(a.targets, b.targets, strict=True))
