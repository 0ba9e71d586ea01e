"""Random resized crops, flips and quarter turns of a whole batch at once.

A resize is linear and separable: every view is `rows @ image @ columns^T` with two small matrices of triangle
filters, in which the crop and the flips are already included. Images of different sizes are padded at the bottom and
right; nothing outside the box is ever read into a view.

Values are not rounded to multiples of 1/255 as they are in the official pipeline, which resizes 8-bit images: rounding
would cost a pass over memory and take information away. The difference is at most 1/255 for a crop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

from moco.ops.draw import Integers, counter, integers, stream, uniform

ATTEMPTS = 10
"""How often a box is drawn before the central one is taken, as in torchvision."""


def beside(x: Tensor, array: NDArray[np.generic]) -> Tensor:
    """The array as a tensor on the device of x, float32 if it is of floats; does not wait for the device."""
    kind = np.float32 if np.issubdtype(array.dtype, np.floating) else array.dtype
    host = torch.from_numpy(np.array(array, dtype=kind))
    return (host.pin_memory() if x.is_cuda else host).to(x.device, non_blocking=True)


def crop_boxes(
    height: NDArray[np.int64],
    width: NDArray[np.int64],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    *name: Integers,
) -> NDArray[np.int64]:
    """Boxes (N x 4: top, left, height, width) by torchvision's rule of ten attempts, drawn from counters.

    Area uniform in `scale` times the image, ratio (width over height) log-uniform, place uniform; when no attempt fits,
    the largest central box whose ratio lies in `ratio`. `name` is what the draw is named by, N integers or fewer.
    """
    key = counter(*name)
    size, shape = uniform(key, stream("crop"), np.arange(2 * ATTEMPTS)[:, None]).reshape(2, ATTEMPTS, -1)
    area = (scale[0] + (scale[1] - scale[0]) * size) * (height * width)
    aspect = np.exp(np.log(ratio[0]) + (np.log(ratio[1]) - np.log(ratio[0])) * shape)
    widths = np.rint(np.sqrt(area * aspect)).astype(np.int64)
    heights = np.rint(np.sqrt(area / aspect)).astype(np.int64)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)

    first = fits.argmax(0)[None]
    w, h = np.take_along_axis(widths, first, 0)[0], np.take_along_axis(heights, first, 0)[0]
    top = integers(height - h + 1, key, stream("crop top"))
    left = integers(width - w + 1, key, stream("crop left"))

    box = np.where(fits.any(0)[:, None], np.stack([top, left, h, w], 1), _central_boxes(height, width, ratio))
    return box.astype(np.int64)


def _central_boxes(
    height: NDArray[np.int64], width: NDArray[np.int64], ratio: tuple[float, float]
) -> NDArray[np.int64]:
    h = np.where(width / height < ratio[0], np.rint(width / ratio[0]).astype(np.int64), height)
    w = np.where(width / height > ratio[1], np.rint(height * ratio[1]).astype(np.int64), width)
    return np.stack([(height - h) // 2, (width - w) // 2, h, w], 1)


def crop_resize(
    pixels: Tensor,
    boxes: NDArray[np.int64],
    size: int,
    flip: NDArray[np.bool_] | None = None,
    flip_vertical: NDArray[np.bool_] | None = None,
) -> Tensor:
    """Each box of uint8 N x 3 x H x W as a view of float32 N x 3 x size x size in [0, 1], flipped where asked for.

    Antialiased bilinear, as torchvision's `resized_crop` of float images, to about 1e-6. Where float32 products are
    allowed to run in TF32, the error grows to a quarter of 1/255.
    """
    return crop_values(pixels, boxes, size, flip, flip_vertical, 1 / 255)


def crop_values(
    pixels: Tensor,
    boxes: NDArray[np.int64],
    size: int,
    flip: NDArray[np.bool_] | None = None,
    flip_vertical: NDArray[np.bool_] | None = None,
    unit: float = 1.0,
) -> Tensor:
    """`crop_resize` of N x C x H x W of any type, its values times `unit`."""
    top, left, height, width = boxes.T
    middle = np.full(len(boxes), size / 2)
    rows = _triangles(pixels, pixels.shape[2], size, top, height, height / size, middle, flip_vertical)
    columns = _triangles(pixels, pixels.shape[3], size, left, width, width / size, middle, flip)
    return _both_ways(pixels, rows, columns, unit)


def crop_resize_plain(
    pixels: Tensor,
    boxes: NDArray[np.int64],
    size: int,
    flip: NDArray[np.bool_] | None = None,
    flip_vertical: NDArray[np.bool_] | None = None,
) -> Tensor:
    """`crop_resize`, image by image with torchvision."""
    views = []
    for i, (top, left, height, width) in enumerate(boxes.tolist()):
        view = functional.resized_crop(pixels[i].float() / 255, top, left, height, width, [size, size], antialias=True)
        if flip is not None and flip[i]:
            view = functional.horizontal_flip(view)
        if flip_vertical is not None and flip_vertical[i]:
            view = functional.vertical_flip(view)
        views.append(view)
    return torch.stack(views)


def turn(x: Tensor, quarter: NDArray[np.int64]) -> Tensor:
    """Square views (N x C x S x S), each turned left by 0 to 3 quarter turns."""
    for quarters in (1, 2, 3):
        chosen = np.flatnonzero(quarter % 4 == quarters)
        if len(chosen):
            where = beside(x, chosen)
            x = x.index_copy(0, where, torch.rot90(x.index_select(0, where), quarters, (2, 3)))
    return x


def _triangles(
    x: Tensor,
    extent: int,
    size: int,
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    step: NDArray[np.floating[Any]],
    middle: NDArray[np.floating[Any]],
    flip: NDArray[np.bool_] | None = None,
) -> Tensor:
    """Filters N x size x extent, on the device of x: a triangle for each pixel of the view, of sum 1, zero outside.

    The box has `length` pixels from `start`; a pixel of the view is `step` of them wide, and the middle of the view
    lies `middle` such steps behind `start`. The triangles reach as far as `step`, but at least 1: the antialiasing.
    """
    sign = np.ones(len(step)) if flip is None else np.where(flip, -1.0, 1.0)
    numbers = beside(x, np.stack([start, length, step, middle, sign, -1 / np.maximum(step, 1)]).astype(np.float64))
    start_, length_, step_, middle_, sign_, slope = numbers[:, :, None, None].unbind()

    from_middle = torch.arange(size, device=x.device)[:, None] + (0.5 - size / 2)
    centre = (from_middle * sign_).add_(middle_).mul_(step_).sub_(0.5)
    place = torch.arange(extent, device=x.device) - start_
    inside = (place >= 0) & (place < length_)
    weight = (place - centre).abs_().mul_(slope).add_(1).clamp_(min=0).mul_(inside)
    return weight.div_(weight.sum(2, keepdim=True))


def _both_ways(pixels: Tensor, rows: Tensor, columns: Tensor, unit: float) -> Tensor:
    """rows @ pixels @ columns^T, the cheaper product first; pixels stay whole numbers in it, so that they are exact.

    Written so that no product has to copy its operands into another layout, which costs more than the product.
    """

    def across(x: Tensor) -> Tensor:
        return torch.bmm(x.flatten(1, 2), columns.mT).view(*x.shape[:3], -1)

    def down(x: Tensor) -> Tensor:
        return torch.matmul(rows[:, None], x)

    if unit != 1:
        columns.div_(1 / unit)
    if pixels.shape[2] <= pixels.shape[3]:
        return down(across(pixels.float()))
    return across(down(pixels.float()))
