"""Crops: the boxes follow torchvision's rule, the batched resize equals torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional

from moco.ops.crop import crop_boxes, crop_resize, crop_resize_plain, turn

SCALE, RATIO = (0.2, 1.0), (3 / 4, 4 / 3)
PHOTO = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)  # 3 x 427 x 640


def full(n, value):
    return np.full(n, value, dtype=np.int64)


def gap(sample, cdf):
    """Largest distance between the distribution of a sample and a cumulative distribution function (Kolmogorov)."""
    x = np.sort(np.asarray(sample, dtype=np.float64))
    steps = np.arange(len(x) + 1) / len(x)
    return max(np.abs(cdf(x) - steps[1:]).max(), np.abs(cdf(x) - steps[:-1]).max())


def padded_batch(rng, n, height, width):
    """Images of many sizes (and garbage in the padding) with a box in each."""
    pixels = torch.from_numpy(rng.integers(0, 256, (n, 3, height, width), dtype=np.uint8))
    sizes = np.stack([rng.integers(1, height + 1, n), rng.integers(1, width + 1, n)], 1)
    sizes[0] = height, width
    return pixels, crop_boxes(*sizes.T, (0.08, 1.0), RATIO, 7, np.arange(n))


def test_area_and_ratio_of_boxes_are_uniform_where_nothing_is_rejected():
    n = 20000
    boxes = crop_boxes(full(n, 4000), full(n, 4000), (0.08, 0.5), RATIO, 0, np.arange(n))
    area, ratio = boxes[:, 2] * boxes[:, 3] / 4000**2, boxes[:, 3] / boxes[:, 2]
    assert gap(area, lambda x: np.clip((x - 0.08) / 0.42, 0, 1)) < 1.6 / np.sqrt(n)
    assert gap(np.log(ratio), lambda x: np.clip((x / np.log(4 / 3) + 1) / 2, 0, 1)) < 1.6 / np.sqrt(n)
    top = boxes[:, 0] / (4000 - boxes[:, 2])
    assert gap(top, lambda x: np.clip(x, 0, 1)) < 1.6 / np.sqrt(n) + 1e-3
    assert abs(np.corrcoef(area, np.log(ratio))[0, 1]) < 0.03


@pytest.mark.parametrize(("height", "width"), [(100, 100), (60, 140), (200, 50)])
def test_boxes_are_distributed_as_torchvisions(height, width):
    n = 3000
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    theirs = np.array([RandomResizedCrop.get_params(image, list(SCALE), list(RATIO)) for _ in range(n)])
    ours = crop_boxes(full(n, height), full(n, width), SCALE, RATIO, 1, np.arange(n))
    for column in range(4):
        levels = np.arange(height + width)
        cdfs = [(values[:, column][:, None] <= levels).mean(0) for values in (ours, theirs)]
        assert np.abs(cdfs[0] - cdfs[1]).max() < 1.95 * np.sqrt(2 / n)


@pytest.mark.parametrize(("height", "width"), [(10, 1000), (1000, 10), (1, 7), (33, 47), (1, 1)])
def test_the_box_is_central_when_ten_attempts_fail(height, width):
    image = torch.empty(3, height, width)
    scale, ratio = (1.0, 1.0), (1.37, 1.38) if height / width < 10 else RATIO
    theirs = RandomResizedCrop.get_params(image, list(scale), list(ratio))
    assert crop_boxes(full(3, height), full(3, width), scale, ratio, 0, np.arange(3)).tolist() == [list(theirs)] * 3


def test_boxes_lie_inside_images_of_any_size_and_do_not_depend_on_the_batch():
    rng = np.random.default_rng(0)
    height, width, index = rng.integers(1, 300, 5000), rng.integers(1, 300, 5000), np.arange(5000)
    boxes = crop_boxes(height, width, (0.08, 1.0), RATIO, 3, index)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, 0] + boxes[:, 2] <= height).all()
    assert (boxes[:, 1] + boxes[:, 3] <= width).all()
    some = [4, 999, 17]
    assert (crop_boxes(height[some], width[some], (0.08, 1.0), RATIO, 3, index[some]) == boxes[some]).all()


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 32), (128, 128, 96), (40, 90, 24), (90, 40, 64)])
def test_crop_resize_equals_its_plain_twin_on_noise(height, width, size):
    rng = np.random.default_rng(0)
    pixels, boxes = padded_batch(rng, 24, height, width)
    flips = rng.random((2, 24)) < 0.5
    assert (
        crop_resize(pixels, boxes, size, *flips) - crop_resize_plain(pixels, boxes, size, *flips)
    ).abs().max() < 5e-6


def test_crop_resize_equals_its_plain_twin_on_a_photo():
    boxes = crop_boxes(full(6, 427), full(6, 640), SCALE, RATIO, 0, np.arange(6))
    pixels = PHOTO.expand(6, -1, -1, -1)
    assert (crop_resize(pixels, boxes, 96) - crop_resize_plain(pixels, boxes, 96)).abs().max() < 5e-6


def test_a_box_of_the_size_of_the_view_is_copied():
    boxes = np.array([[5, 9, 32, 32]])
    view = crop_resize(PHOTO[None], boxes, 32)[0]
    assert torch.equal((view * 255).round(), PHOTO[:, 5:37, 9:41].float())
    assert (view - PHOTO[:, 5:37, 9:41] / 255).abs().max() < 1.2e-7


def test_nothing_outside_the_box_is_read():
    boxes = np.array([[3, 4, 10, 12]])
    other = torch.full((1, 3, 30, 40), 255, dtype=torch.uint8)
    other[..., 3:13, 4:16] = 7
    assert (crop_resize(other, boxes, 20) - 7 / 255).abs().max() < 1e-6


def test_turns_are_quarter_turns_to_the_left():
    x = torch.rand(5, 3, 8, 8)
    turned = turn(x, np.array([0, 1, 2, 3, 0]))
    for i, quarters in enumerate([0, 1, 2, 3, 0]):
        assert torch.equal(turned[i], torch.rot90(x[i], quarters, (1, 2)))
    assert torch.equal(turned[1], functional.rotate(x[1], 90))
