"""One crop of one image in 8 bits, as a worker cuts it: out of the pixels first, resized after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from moco.ops.crop import crop_values
from moco.ops.kernels import kernels

REDUCTIONS = (8, 4, 2)
"""The shares of its size at which a JPEG can be decoded."""


def reduction(boxes: Sequence[NDArray[np.int64]], size: int) -> int:
    """At what share of its size (one over this) an image may be read, so that no box has fewer pixels than its view."""
    room = min(int(side) for box in boxes for side in box[2:]) / size
    return next((r for r in REDUCTIONS if room >= r), 1)


def cut(
    out: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    box: NDArray[np.float64],
    flip: bool = False,
    flip_vertical: bool = False,
    quarter: int = 0,
) -> None:
    """Write the box (top, left, height, width) of H x W x 3 pixels into uint8 3 x S x S, flipped, then turned left.

    Antialiased bilinear, as torchvision's `resized_crop` of uint8 images, to 1/255. A box may lie between pixels, as it
    does in an image that was read at a share of its size.
    """
    if (fused := kernels()) is None:
        cut_by_torch(out, pixels, box, flip, flip_vertical, quarter)
        return
    flat = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    fused.cut(out, flat, box.astype(np.float64, copy=False), flip, flip_vertical)
    if quarter % 4:
        out[:] = np.rot90(out, quarter, (1, 2)).copy()


def cut_bands(
    out: NDArray[Any],
    pixels: NDArray[Any],
    box: NDArray[np.float64],
    flip: bool = False,
    flip_vertical: bool = False,
    quarter: int = 0,
) -> None:
    """`cut` of H x W x C values of any type into C x S x S of the same type; whole numbers are rounded."""
    if (fused := kernels()) is None:
        cut_bands_by_torch(out, pixels, box, flip, flip_vertical, quarter)
        return
    if not (pixels.flags.c_contiguous and pixels.flags.writeable):  # as in a file: only what is needed leaves its place
        top, left, bottom, right = _around(box)
        pixels, box = np.array(pixels[top:bottom, left:right], order="C"), box - [top, left, 0, 0]
    flat, whole = pixels.reshape(len(pixels), -1), out.dtype.kind != "f"
    fused.cut_bands(out, flat, box.astype(np.float64, copy=False), flip, flip_vertical, whole)
    if quarter % 4:
        out[:] = np.rot90(out, quarter, (1, 2)).copy()


def cut_bands_by_torch(
    out: NDArray[Any],
    pixels: NDArray[Any],
    box: NDArray[np.float64],
    flip: bool = False,
    flip_vertical: bool = False,
    quarter: int = 0,
) -> None:
    """`cut_bands` without compiled kernels; a box between pixels is moved to the nearest."""
    top, left, bottom, right = _around(box)
    region = np.array(pixels[top:bottom, left:right].transpose(2, 0, 1), order="C")[None]
    inner = np.rint(box - [top, left, 0, 0]).astype(np.int64)[None]
    crop = crop_values(torch.from_numpy(region), inner, out.shape[-1], np.array([flip]), np.array([flip_vertical]))[0]
    crop = torch.rot90(crop, quarter, (1, 2))
    out[:] = (crop if out.dtype.kind == "f" else crop.add(0.5).floor()).numpy()


def _around(box: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of the whole pixels that a box touches."""
    top, left, height, width = box.tolist()
    return math.floor(top), math.floor(left), math.ceil(top + height), math.ceil(left + width)


def cut_by_torch(
    out: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    box: NDArray[np.float64],
    flip: bool = False,
    flip_vertical: bool = False,
    quarter: int = 0,
) -> None:
    """`cut` without compiled kernels: by torch, as torchvision does, and by Pillow where a box lies between pixels."""
    size = out.shape[-1]
    if (box == np.rint(box)).all():
        top, left, height, width = (int(n) for n in box)
        region = torch.from_numpy(pixels)[top : top + height, left : left + width]
        crop = interpolate(region.permute(2, 0, 1)[None], (size, size), mode="bilinear", antialias=True)[0]
    else:
        crop = torch.from_numpy(np.array(_between_pixels(pixels, box, size))).permute(2, 0, 1)
    mirrored = [axis for axis, wanted in ((1, flip_vertical), (2, flip)) if wanted]
    crop = crop.flip(mirrored) if mirrored else crop
    out[:] = np.rot90(crop.numpy(), quarter, (1, 2))


def cut_plain(
    out: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    box: NDArray[np.int64],
    flip: bool = False,
    flip_vertical: bool = False,
    quarter: int = 0,
) -> None:
    """`cut` of a box of whole pixels as the official pipeline does it, with Pillow."""
    top, left, height, width = box.tolist()
    region = Image.fromarray(pixels[top : top + height, left : left + width])
    crop = np.asarray(region.resize((out.shape[-1],) * 2, Image.Resampling.BILINEAR))
    crop = np.rot90(crop[:: -1 if flip_vertical else 1, :: -1 if flip else 1], quarter)
    out[:] = crop.transpose(2, 0, 1)


def _between_pixels(pixels: NDArray[np.uint8], box: NDArray[np.float64], size: int) -> Image.Image:
    top, left, height, width = box.tolist()
    y, x = math.floor(top), math.floor(left)
    region = pixels[y : math.ceil(top + height), x : math.ceil(left + width)]
    inner = (left - x, top - y, min(left - x + width, region.shape[1]), min(top - y + height, region.shape[0]))
    return Image.fromarray(region).resize((size, size), Image.Resampling.BILINEAR, box=inner)
