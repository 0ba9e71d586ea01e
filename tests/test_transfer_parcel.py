"""Parcels: what comes out is what went in, in one piece of memory."""

import pickle

import torch
from test_commands_transfer import small
from transfer_data import make_coco

from moco.transfer.batches import Loader
from moco.transfer.layouts.coco import read_keypoints
from moco.transfer.parcel import packed


def test_what_comes_out_is_what_went_in():
    tensors = [
        torch.arange(7, dtype=torch.uint8),
        torch.zeros(0, 4),
        torch.tensor(2.5, dtype=torch.float64),
        torch.arange(12, dtype=torch.int64).view(3, 4).T,
    ]
    sent = packed({"words": ("a", 1), "tensors": tensors})
    back = pickle.loads(pickle.dumps(sent)).opened()
    assert back["words"] == ("a", 1)
    for one, other in zip(tensors, back["tensors"], strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert torch.equal(one, other)


def test_a_worker_gives_the_steps_that_the_process_itself_makes(tmp_path):
    part, _ = read_keypoints(make_coco(tmp_path / "data"), None, None)
    recipe = small("keypoints")
    for one, other in zip(Loader(recipe, part, 0, 0).steps(0), Loader(recipe, part, 0, 1).steps(0), strict=True):
        for a, b in zip(one.groups, other.groups, strict=True):
            assert a.sizes == b.sizes
            assert torch.equal(a.pixels, b.pixels)
            for s, t in zip(a.targets, b.targets, strict=True):
                assert torch.equal(s.boxes, t.boxes)
                assert torch.equal(s.points, t.points)
                assert (s.stretch, s.draw) == (t.stretch, t.draw)
