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

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.apply import apply, finish
from moco.apply_bands import apply_bands, disturb, disturbs, finish_bands
from moco.data.decode import open_image
from moco.data.opened import Opened, open_array
from moco.drawn import Draws, Geometry, Integer, Photometry, disturbance_of, draw, geometry_of, key_of, photometry_of
from moco.errors import MocoError
from moco.ops.cut import cut, cut_bands, reduction
from moco.ops.kernels import kernels
from moco.recipe.drawn import View
from moco.recipe.parts import Recipe
from moco.recipe.pixels import Pixels, channels_of

__all__ = ["KEY", "QUERY", "Draws", "Geometry", "Photometry", "Views", "apply", "draw", "finish"]

QUERY, KEY = 0, 1
"""Numbers of the two views; those of small crops that ask as well follow."""


class Views:
    """The two views of a recipe: x_q and x_k. Without `key`, x_k is not drawn: x_q is given in its place.

    With `small`, each small crop that asks as well is a view of its own, drawn like the query's but for its size.
    """

    def __init__(self, recipe: Recipe, key: bool = True, small: bool = False) -> None:
        asks, whole = recipe.queries, (recipe.query_view, recipe.key_view or recipe.query_view)[: 2 if key else 1]
        few = replace(recipe.query_view, scale=asks.small_scale)
        self.views = (*whole, *(few for _ in range(asks.small if small else 0)))
        self.small = range(len(whole), len(self.views))
        """Numbers of the small crops."""
        self._small_size, self._first_sizes = asks.small_size, recipe.first_sizes
        self.own_key = recipe.key_view is not None
        self.seed, self.size, self.normalize = recipe.seed, recipe.image_size, recipe.normalize
        self.pixels = recipe.pixels
        self.channels = channels_of(self.pixels)
        self.dtype = torch.uint8 if self.pixels is None else getattr(torch, self.pixels.kind)
        kernels()  # imported here once, and not in each worker

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
        made = [self.one(n, pixels, sizes, index, epoch, memory_format) for n in range(self.small.start)]
        return made[QUERY], made[-1]

    def at(self, step: int, steps: int) -> Views:
        """The views of a step out of so many, counted from 0: of the size that they have there."""
        sides = (*self._first_sizes, self.size)
        here = sides[min(len(sides) - 1, len(sides) * step // steps)]
        if here == self.size:
            return self
        views = copy.copy(self)
        views.size, views._first_sizes = here, ()
        return views

    def side(self, number: int) -> int:
        """Pixels of a side of view `number`."""
        return self._small_size if number in self.small else self.size

    @torch.no_grad()
    def one(
        self,
        number: int,
        pixels: Tensor,
        sizes: Integer | None,
        index: Integer,
        epoch: int | Integer,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> Tensor:
        """View `number` alone: of whole images, or where `sizes` is None of crops, as `finish` takes them.

        Crops may also be those of this view alone, N x 3 x S x S. A small crop lies at the top left of its own.
        """
        view, key = self.views[number], key_of(self.seed, epoch, index, number)
        with torch.autocast(pixels.device.type, enabled=False):
            made = self._made(view, number, pixels, sizes, index, epoch, memory_format)
            if not disturbs(view):
                return made
            return disturb(view, disturbance_of(view, self.channels, key), made, self.normalize)

    def _made(
        self,
        view: View,
        number: int,
        pixels: Tensor,
        sizes: Integer | None,
        index: Integer,
        epoch: int | Integer,
        memory_format: torch.memory_format,
    ) -> Tensor:
        if sizes is None:
            photometry = photometry_of(view, key_of(self.seed, epoch, index, number))
            place = number if pixels.ndim == 5 else 0
            if number in self.small:
                pixels, place = pixels[:, number, :, : self._small_size, : self._small_size].contiguous(), 0
            if self.pixels is None:
                return finish(view, photometry, pixels, self.normalize, memory_format, place)
            return finish_bands(view, photometry, pixels, self.pixels, self.normalize, memory_format, place)
        height, width = sizes.T
        draws = draw(view, height, width, seed=self.seed, epoch=epoch, index=index, number=number)
        if self.pixels is None:
            return apply(view, draws, pixels, self.side(number), self.normalize, memory_format)
        return apply_bands(view, draws, pixels, self.side(number), self.pixels, self.normalize, memory_format)

    def geometry(self, sizes: Integer, index: Integer, epoch: int) -> tuple[Geometry, ...]:
        """Where the views of N images of these heights and widths (N x 2) lie, for each view."""
        height, width = sizes.T
        return tuple(
            geometry_of(view, height, width, key_of(self.seed, epoch, index, number))
            for number, view in enumerate(self.views)
        )

    def cut_into(self, out: Tensor, image: Opened, where: Sequence[Geometry], row: int) -> None:
        """Decode an image once and write its crops (uint8 V x 3 x S x S): those of `row` in `where`.

        Raises Unreadable. A JPEG is read at a half, a quarter or an eighth of its size where all crops are larger
        than the views by as much.
        """
        boxes = [g.boxes[row] for g in where]
        sides = [self.side(number) for number in range(len(where))]
        pixels, shrunk = image.pixels(min(reduction([box], side) for box, side in zip(boxes, sides, strict=True)))
        for crop, side, g, box in zip(out.numpy(), sides, where, boxes, strict=True):
            how = bool(g.flip[row]), bool(g.flip_vertical[row]), int(g.quarter[row])
            whole = side == crop.shape[-1]
            made = crop if whole else np.empty_like(crop, shape=(len(crop), side, side))
            (cut if self.pixels is None else cut_bands)(made, pixels, box / shrunk, *how)
            if not whole:
                crop[:, :side, :side] = made

    def cut(self, image: NDArray[Any], epoch: int, index: int) -> Tensor:
        """The crops, uint8 V x 3 x S x S, of one image H x W x 3, flipped and turned: what a worker hands on.

        V is 2, or 1 without `key`, and more with small crops. Raises MocoError for anything but H x W x 3 of uint8, or
        the channels and the type of the recipe's pixels.
        """
        _check_image(image, self.pixels)
        crops = torch.empty(len(self.views), self.channels, self.size, self.size, dtype=self.dtype)
        where = self.geometry(np.array([image.shape[:2]]), np.array([index]), epoch)
        self.cut_into(crops, open_array(image) if self.pixels else open_image(image), where, 0)
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
        made = [self.one(n, crops, None, index, epoch, memory_format) for n in range(self.small.start)]
        return made[QUERY], made[-1]


def _check_image(image: NDArray[Any], pixels: Pixels | None) -> None:
    channels, kind = channels_of(pixels), "uint8" if pixels is None else pixels.kind
    if image.dtype != kind or image.ndim != 3 or image.shape[2] != channels or not image.size:
        rgb = " (PIL: numpy.asarray(image.convert('RGB')))" if pixels is None else ""
        raise MocoError(
            f"an image of shape {' x '.join(map(str, image.shape))} and type {image.dtype}: "
            f"give height x width x {channels} of {kind}{rgb}"
        )
