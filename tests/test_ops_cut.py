"""Crops in 8 bits: equal to the official pipeline's to one level, from the whole image or a reduced one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.transforms.v2 import functional

from moco.data.decode import open_image
from moco.ops.cut import cut, cut_bands, cut_bands_by_torch, cut_by_torch, cut_plain, reduction

PHOTO = load_sample_image("flower.jpg").copy()  # 427 x 640 x 3
BOXES = [(0, 0, 427, 640), (50, 61, 300, 211), (3, 600, 20, 33), (426, 0, 1, 640)]
BOXES += [(307, 520, 120, 120), (0, 480, 150, 160), (30, 30, 64, 64)]  # 4, 6 and 3 pixels for one of the view
HOW = [cut, cut_by_torch]


def crop(how, pixels, box, size=64, **where):
    out = torch.empty(3, size, size, dtype=torch.uint8)
    how(out.numpy(), pixels, np.array(box), **where)
    return out.int()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("box", BOXES)
def test_a_crop_is_torchvisions_to_one_level(how, box):
    image = torch.from_numpy(PHOTO.copy()).permute(2, 0, 1)
    theirs = functional.resized_crop(image, *box, [64, 64], antialias=True).int()
    assert (crop(how, PHOTO, box) - theirs).abs().max() <= 1


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    "where", [{}, {"flip": True}, {"flip_vertical": True}, {"flip": True, "quarter": 1}, {"quarter": 3}]
)
def test_flips_and_turns_are_those_of_the_plain_twin(how, where):
    box = (50, 61, 300, 211)
    assert (crop(how, PHOTO, box, **where) - crop(cut_plain, PHOTO, box, **where)).abs().max() <= 1


@pytest.mark.parametrize("how", HOW)
def test_a_box_between_pixels_lies_where_it_says(how):
    """On a ramp, a crop tells its own place."""
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (256, 256, 3)).copy()
    out = crop(how, ramp, (10.0, 20.5, 100.0, 128.0), 32)
    middles = 20.5 + (np.arange(32) + 0.5) * 4 - 0.5
    assert np.abs(out[0, 16].numpy() - middles)[1:-1].max() <= 0.75


def test_an_image_is_read_no_smaller_than_its_views_need():
    whole, small = np.array([0, 0, 900, 1000]), np.array([0, 0, 447, 600])
    assert reduction([whole, whole], 224) == 4
    assert reduction([whole, np.array([0, 0, 448, 600])], 224) == 2
    assert reduction([whole, small], 224) == 1
    assert reduction([whole, whole], 64) == 8


@pytest.mark.parametrize("quality", [75, 95])
def test_a_crop_of_a_reduced_jpeg_is_close_to_that_of_the_whole(quality):
    """Half a level in a hundred on average: less than what the JPEG itself lost."""
    file = io.BytesIO()
    Image.fromarray(PHOTO).resize((1283, 961), Image.Resampling.LANCZOS).save(file, "JPEG", quality=quality)
    box = np.array([100, 203, 801, 907])
    whole, _ = open_image(file.getvalue()).pixels()
    for least in (2, 4):
        small, shrunk = open_image(file.getvalue()).pixels(least)
        assert shrunk == least
        assert small.shape[:2] == (-(-961 // least), -(-1283 // least))
        difference = (crop(cut, small, box / least, 200) - crop(cut, whole, box, 200)).abs()
        assert difference.float().mean() < 2.6
        shifted = (crop(cut, small, box / least + [0, 1, 0, 0], 200) - crop(cut, whole, box, 200)).abs()
        assert difference.float().mean() < 0.8 * shifted.float().mean()


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bands", [1, 4])
def test_bands_are_cut_alike_by_kernels_and_by_torch_wherever_they_lie(kind, bands):
    random = np.random.default_rng(0)
    planes = (random.random((bands, 40, 50)) * 250).astype(kind)
    box = np.array([3.0, 4.0, 20.0, 30.0])
    made = []
    for pixels in (planes.transpose(1, 2, 0), np.ascontiguousarray(planes.transpose(1, 2, 0))):
        for way in (cut_bands, cut_bands_by_torch):
            out = torch.empty(bands, 16, 16, dtype=getattr(torch, kind))
            way(out.numpy(), pixels, box, True, False, 1)
            made.append(out.float())
    step = 1e-3 if kind == "float32" else 1
    assert all((one - made[0]).abs().max() <= step for one in made)
    assert made[0].std() > 10
