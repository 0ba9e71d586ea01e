"""Two views of every image.

Drawing and working are kept apart. What happens to an image is drawn on the host, as a function of (seed, epoch, image
index, view number), so the same image in the same epoch gets the same two views in any batch, process or device.
The pixels are then worked on in batches, without waiting for the device.

A view is geometry (crop, flips, turn), then photometry (the four operations in the order of the recipe), then
normalisation. The official code flips last; flips and turns commute with everything after the crop. So images kept in
memory go through `Views()`, and large ones through `Views.cut` in a worker (all the geometry) and `Views.finish` on
the device (all the rest). Both draw the same numbers; `cut` rounds to 8 bits, as the official pipeline does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.errors import MocoError
from moco.ops.blur import blur, blur_radius
from moco.ops.colour import grayscale, jitter, solarize
from moco.ops.crop import beside, crop_boxes, crop_resize, turn
from moco.ops.draw import counter, stream, uniform
from moco.recipe.parts import Normalize, Recipe, View

Floats = NDArray[np.float64]
Integer = NDArray[np.int64]
Switch = NDArray[np.bool_]

QUERY, KEY = 0, 1
"""Numbers of the two views."""

CHUNK = 1 << 19
"""Values per CPU thread that are worked on at a time: few enough for the caches, enough to outweigh the calls."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where in N images their views lie."""

    boxes: Integer
    """N x 4: top, left, height, width."""
    flip: Switch
    flip_vertical: Switch
    quarter: Integer
    """Quarter turns to the left."""


@dataclass(frozen=True, kw_only=True)
class Photometry:
    """What is done to the colours and the sharpness of N views; each number is drawn even where its switch is off."""

    jitter: Switch
    brightness: Floats
    contrast: Floats
    saturation: Floats
    hue: Floats
    order: Integer
    """N x 4: a permutation of brightness, contrast, saturation, hue for each."""
    gray: Switch
    blur: Switch
    sigma: Floats
    solarize: Switch


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Everything that is drawn for one view of N images."""

    geometry: Geometry
    photometry: Photometry


def draw(
    view: View, height: Integer, width: Integer, *, seed: int, epoch: int | Integer, index: Integer, number: int
) -> Draws:
    """What happens to N images of these heights and widths (N) in view `number` (0 query, 1 key): a pure function."""
    key = _key(seed, epoch, index, number)
    return Draws(geometry=_geometry(view, height, width, key), photometry=_photometry(view, key))


def apply(
    view: View,
    draws: Draws,
    pixels: Tensor,
    size: int,
    normalize: Normalize | None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Views float32 N x 3 x size x size of images uint8 N x 3 x H x W, padded at the bottom and right.

    `normalize` None leaves values in [0, 1]. On a CPU, a few images at a time go through all the steps.
    """
    out = _empty(pixels, size, memory_format)
    for part in _parts(pixels, max(pixels.shape[1:].numel(), 3 * size * size)):
        g = _rows(draws.geometry, part)
        x = turn(crop_resize(pixels[part], g.boxes, size, g.flip, g.flip_vertical), g.quarter)
        _photometry_into(out[part], view, _rows(draws.photometry, part), x, normalize)
    return out


def finish(
    view: View,
    photometry: Photometry,
    crops: Tensor,
    normalize: Normalize | None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Views of crops (uint8, or float32 in [0, 1]; N x 3 x S x S) that were cut, flipped and turned elsewhere."""
    out = _empty(crops, crops.shape[-1], memory_format)
    for part in _parts(crops, crops.shape[1:].numel()):
        x = crops[part] if crops.is_floating_point() else crops[part].float().div_(255)
        _photometry_into(out[part], view, _rows(photometry, part), x, normalize)
    return out


class Views:
    """The two views of a recipe: x_q and x_k. Without `key`, x_k is not drawn: x_q is given in its place."""

    def __init__(self, recipe: Recipe, key: bool = True) -> None:
        self.views = (recipe.query_view, recipe.key_view or recipe.query_view)[: 2 if key else 1]
        self.seed, self.size, self.normalize = recipe.seed, recipe.image_size, recipe.normalize

    @torch.no_grad()
    def __call__(
        self,
        pixels: Tensor,
        sizes: Integer,
        index: Integer,
        epoch: int | Integer,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> tuple[Tensor, Tensor]:
        """x_q and x_k, float32 N x 3 x S x S, of images uint8 N x 3 x H x W with heights and widths `sizes` (N x 2).

        `index` (N) and `epoch` name the draws: the same image in the same epoch has the same views.
        """
        height, width = sizes.T
        with torch.autocast(pixels.device.type, enabled=False):
            made = [
                apply(
                    view,
                    draw(view, height, width, seed=self.seed, epoch=epoch, index=index, number=number),
                    pixels,
                    self.size,
                    self.normalize,
                    memory_format,
                )
                for number, view in enumerate(self.views)
            ]
        return made[QUERY], made[-1]

    def cut(self, image: NDArray[np.uint8], epoch: int, index: int) -> Tensor:
        """The crops, uint8 V x 3 x S x S, of one image H x W x 3, flipped and turned: what a worker hands on.

        V is 2, or 1 without `key`. Pixel by pixel what the official pipeline makes of the same box: cut out, then
        resized by PIL. Raises MocoError for anything but H x W x 3 of uint8.
        """
        _check_image(image)
        height, width = (np.array([n]) for n in image.shape[:2])
        crops = torch.empty(len(self.views), 3, self.size, self.size, dtype=torch.uint8)
        for number, view in enumerate(self.views):
            g = _geometry(view, height, width, _key(self.seed, epoch, np.array([index]), number))
            top, left, h, w = g.boxes[0].tolist()
            box = PIL.Image.fromarray(image[top : top + h, left : left + w])
            crop = np.asarray(box.resize((self.size, self.size), PIL.Image.Resampling.BILINEAR))
            crop = crop[:: -1 if g.flip_vertical[0] else 1, :: -1 if g.flip[0] else 1]
            crops[number] = torch.from_numpy(np.rot90(crop, int(g.quarter[0])).transpose(2, 0, 1).copy())
        return crops

    @torch.no_grad()
    def finish(
        self,
        crops: Tensor,
        index: Integer,
        epoch: int | Integer,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> tuple[Tensor, Tensor]:
        """x_q and x_k, float32 N x 3 x S x S, of what `cut` made of N images: uint8 N x V x 3 x S x S."""
        with torch.autocast(crops.device.type, enabled=False):
            made = [
                finish(
                    view,
                    _photometry(view, _key(self.seed, epoch, index, number)),
                    crops[:, number],
                    self.normalize,
                    memory_format,
                )
                for number, view in enumerate(self.views)
            ]
        return made[QUERY], made[-1]


def _key(seed: int, epoch: int | Integer, index: Integer, number: int) -> NDArray[np.uint64]:
    return np.broadcast_to(counter(stream("view"), seed, epoch, index, number), len(index))


def _table(key: NDArray[np.uint64], word: str, rows: int) -> Floats:
    """rows x N numbers in [0, 1)."""
    return np.asarray(uniform(key, stream(word), np.arange(rows)[:, None]))


def _geometry(view: View, height: Integer, width: Integer, key: NDArray[np.uint64]) -> Geometry:
    flip, flip_vertical, turned, quarters = _table(key, "geometry", 4)
    return Geometry(
        boxes=crop_boxes(height, width, view.scale, view.ratio, key),
        flip=flip < view.flip,
        flip_vertical=flip_vertical < view.flip_vertical,
        quarter=np.where(turned < view.turn, 1 + np.floor(3 * quarters), 0).astype(np.int64),
    )


def _photometry(view: View, key: NDArray[np.uint64]) -> Photometry:
    u = iter(_table(key, "photometry", 9))
    j = view.jitter

    def between(low: float, high: float) -> Floats:
        return np.asarray(low + (high - low) * next(u))

    return Photometry(
        jitter=next(u) < j.p,
        brightness=between(1 - j.brightness, 1 + j.brightness),
        contrast=between(1 - j.contrast, 1 + j.contrast),
        saturation=between(1 - j.saturation, 1 + j.saturation),
        hue=between(-j.hue, j.hue),
        order=np.argsort(counter(key, stream("order"), np.arange(4)[:, None]), axis=0, kind="stable").T,
        gray=next(u) < view.gray,
        blur=next(u) < view.blur.p,
        sigma=between(*view.blur.sigma),
        solarize=next(u) < view.solarize,
    )


def _photometry_into(out: Tensor, view: View, p: Photometry, x: Tensor, normalize: Normalize | None) -> None:
    """Write the four operations in the order of the view, then normalisation, into `out`."""
    for operation in view.order:
        match operation:
            case "jitter":
                x = jitter(x, p.brightness, p.contrast, p.saturation, p.hue, p.order, p.jitter)
            case "gray":
                x = grayscale(x, p.gray)
            case "blur":
                x = blur(x, p.sigma, p.blur, blur_radius(view.blur.sigma[1], x.shape[-1]))
            case "solarize":
                x = solarize(x, p.solarize)
    if normalize is None:
        out.copy_(x)
    else:
        _normalize_into(out, x, normalize)


def _normalize_into(out: Tensor, x: Tensor, normalize: Normalize) -> Tensor:
    mean, std = (beside(x, np.array(values))[:, None, None] for values in (normalize.mean, normalize.std))
    return torch.sub(x, mean, out=out).div_(std)


def _empty(like: Tensor, size: int, memory_format: torch.memory_format) -> Tensor:
    return torch.empty(len(like), 3, size, size, device=like.device, memory_format=memory_format)


def _parts(pixels: Tensor, values: int) -> Iterator[slice]:
    """Slices of a batch whose images have this many values: what fits the caches of a CPU; all at once elsewhere."""
    rows = max(1, torch.get_num_threads() * CHUNK // values) if pixels.device.type == "cpu" else max(1, len(pixels))
    return (slice(i, i + rows) for i in range(0, len(pixels), rows))


T = TypeVar("T", Geometry, Photometry)


def _rows(drawn: T, part: slice) -> T:
    return type(drawn)(**{f.name: getattr(drawn, f.name)[part] for f in fields(drawn)})


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise MocoError(
            f"an image of shape {' x '.join(map(str, image.shape))} and type {image.dtype}: "
            "give height x width x 3 of uint8 (PIL: numpy.asarray(image.convert('RGB')))"
        )
