"""Images to try things on: a sample of a large source, no larger than views need."""

import numpy as np
import pytest
from PIL import Image

from moco.auto.sample import Shrunk, sample_in_memory
from moco.data.folder import Folder
from moco.errors import MocoError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i, (h, w) in enumerate([(300, 400), (50, 60), (90, 2000)]):
        Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)).save(tmp_path / f"{i}.jpg")
    return tmp_path


def test_large_images_are_shrunk_and_small_ones_left(folder):
    some = Shrunk(Folder(folder), 64)
    shapes = [some.raw(i).shape for i in range(3)]
    assert shapes[0] == (64, 85, 3)
    assert shapes[1] == (50, 60, 3)
    assert shapes[2] == (64, 512, 3), "the middle of a long one"


def test_no_more_images_than_asked_for_spread_over_the_source(folder):
    some = Shrunk(Folder(folder), 64, most=2)
    assert [some.name(i) for i in range(2)] == ["0.jpg", "2.jpg"]


def test_where_none_can_be_read_that_is_said(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(MocoError, match="none of the images"):
        sample_in_memory(Folder(tmp_path), 64, 1)
