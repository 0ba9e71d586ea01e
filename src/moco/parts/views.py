"""Views in batches, on the device, of images that are already there (v1, section 3.3; v2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.arguments import words
from moco.errors import MocoError
from moco.parts import refuse
from moco.recipe import VIEWS, Normalize, Pixels, View, check, v2
from moco.two_views import Views

Numbers = Tensor | NDArray[Any] | Sequence[int]
"""Integers, one for each image; a tensor of them lies on the host."""


class BatchedViews:
    """Two views of each image of a batch: x_q and x_k. What `moco.views` gives."""

    def __init__(self, made: Views) -> None:
        self._made = made

    def __call__(
        self,
        images: Tensor,
        index: Numbers | None = None,
        epoch: int = 0,
        *,
        sizes: Numbers | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> tuple[Tensor, Tensor]:
        """x_q and x_k, float32 N x C x S x S and normalised, of images uint8 N x C x H x W, on the device of `images`.

        `index` (N) says which images they are and `epoch` in which epoch: the same image in the same epoch has the same
        views, in any batch and on any device. Without `index` images are counted from 0, and `epoch` has to be another
        in every step. `sizes` (N x 2) are heights and widths where images were padded, below and right, to one shape.
        Raises MocoError for other shapes and types.
        """
        name = "views"
        axes = f"N x {self._made.channels} x H x W"
        refuse.tensor(
            name, "images", images, axes, "uint8", "pixels from 0 to 255 (of N x H x W x C: .permute(0, 3, 1, 2))"
        )
        if images.shape[1] != self._made.channels:
            raise MocoError(
                f"moco.{name}: images are {words(images)}; give {axes}, or make the views with "
                f"channels={images.shape[1]} (of N x H x W x C: .permute(0, 3, 1, 2))"
            )
        if images.device.type == "meta":
            raise MocoError(f"moco.{name}: images are {words(images)}, without values; put them on a device")
        refuse.instance(name, "memory_format", memory_format, torch.memory_format, "give torch.channels_last, say")
        n, (height, width) = len(images), images.shape[2:]
        rows = np.arange(n) if index is None else _integers(name, "index", index, (n,))
        refuse.number(name, "epoch", epoch, least=0, whole=True)
        whole = np.tile([height, width], (n, 1)) if sizes is None else _integers(name, "sizes", sizes, (n, 2))
        if sizes is not None and not ((whole >= 1) & (whole <= [height, width])).all():
            raise MocoError(
                f"moco.{name}: sizes go from {whole.min(axis=0).tolist()} to {whole.max(axis=0).tolist()} for images "
                f"of {height} x {width}; give each image's height and width inside its padding"
            )
        return self._made(images, whole, rows, epoch, memory_format)


def views(
    query: str | View = "photos",
    key: str | View | None = None,
    *,
    size: int,
    seed: int = 0,
    channels: int = 3,
    normalize: Normalize | None = None,
) -> BatchedViews:
    """Two random views of every image of a batch, made where the images are.

        views = moco.views("photos", size=224)
        x_q, x_k = views(images, index, epoch)      # images: uint8 N x 3 x H x W, on a CPU or a GPU

    `query` is a named set (`moco show` lists them) or a `moco.View` of one's own; `key` is drawn like `query` where it
    is None. `size` is the side of a view in pixels, `seed` that of all draws: with the seed of a recipe, the views are
    those of `moco pretrain`. With other than 3 `channels` colour is left alone, and each is worked on by itself.
    `normalize` is ImageNet's for 3 channels, and mean 0.5 with deviation 0.25 for others. Raises MocoError for a name
    that there is not, and for numbers that make no view.
    """
    name = "views"
    refuse.number(name, "size", size, least=1, whole=True)
    refuse.number(name, "seed", seed, least=0, most=2**63 - 1, whole=True)
    refuse.number(name, "channels", channels, least=1, whole=True)
    pixels = None
    if channels != 3:
        bands = tuple(range(channels))
        pixels = Pixels(bands=bands, of=channels, black=(0.0,) * channels, white=(255.0,) * channels)
    if normalize is None:
        normalize = Normalize() if channels == 3 else Normalize(mean=(0.5,) * channels, std=(0.25,) * channels)
    refuse.instance(name, "normalize", normalize, Normalize, "give a moco.Normalize")
    recipe = replace(
        v2(),
        query_view=_view("query", query),
        key_view=None if key is None else _view("key", key),
        image_size=size,
        seed=seed,
        pixels=pixels,
        normalize=normalize,
    )
    try:
        check(recipe)
    except MocoError as error:
        raise MocoError(f"moco.{name}: {error}") from None
    return BatchedViews(Views(recipe))


def _view(argument: str, given: str | View) -> View:
    if isinstance(given, str):
        if given not in VIEWS:
            raise MocoError(f"moco.views: {argument} is {given!r}, no set of views; choose from {', '.join(VIEWS)}")
        return VIEWS[given]
    refuse.instance("views", argument, given, View, f"give a moco.View, or a name of {', '.join(VIEWS)}")
    return given


def _integers(name: str, argument: str, given: Numbers, shape: tuple[int, ...]) -> NDArray[np.int64]:
    if isinstance(given, Tensor) and given.device.type != "cpu":
        raise MocoError(f"moco.{name}: {argument} is {words(given)}; keep it on the host: {argument}.cpu()")
    found = np.asarray(given)
    if found.shape != shape or found.dtype.kind not in "iu":
        what = words(given) if found.dtype == object else f"{words(found)} of {found.dtype}"
        raise MocoError(f"moco.{name}: {argument} is {what}; give {' x '.join(map(str, shape))} integers")
    return found.astype(np.int64)
