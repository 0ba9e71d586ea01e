"""Pictures from the images of a run: the views that are trained on, and what the encoder finds alike."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from moco.data.decode import decode
from moco.data.part import Part
from moco.data.picture import picture
from moco.data.source import Source, Unreadable, sample
from moco.data.survey import survey
from moco.device import Placement
from moco.embed import Prepared, embed
from moco.preprocess import Preprocess
from moco.recipe import Recipe, Stored
from moco.two_views import Views

ROWS = 8
NEAREST = 7
EPOCHS = 3
"""Epochs whose views are shown."""

MOST_SEARCHED = 2000
LEAST_SEARCHED = 64
MOST_FLOPS, MOST_FLOPS_CPU = 2.1e12, 1.05e12
"""Work of the encoder for the nearest neighbours: 256 images of 224 px through a ResNet-50; 128 without a GPU."""
MOST_PIXELS = 4e8
"""Pixels that are decoded for them."""

_SIDE = 112
_COARSE = 16


@dataclass(frozen=True)
class Tile:
    """A small picture, as a data: address, and what it is called."""

    picture: str
    name: str
    coarse: bool
    """So few pixels that they are shown as squares."""
    cosine: float | None = None
    copy: bool = False
    """Nearly the same pixels as the image that was searched for."""


@dataclass(frozen=True)
class ViewRow:
    """An image, and how it was seen as a query and as a key."""

    image: Tile
    queries: list[Tile]
    keys: list[Tile]
    """Empty where keys are looked up, and no second view is drawn."""


@dataclass(frozen=True)
class Neighbours:
    """Images with those that the encoder finds most similar."""

    rows: list[tuple[Tile, list[Tile]]]
    searched: int
    width: int
    """D, the length of the features."""

    @property
    def copies(self) -> int:
        """How many of those shown are nearly the same image."""
        return sum(tile.copy for _, found in self.rows for tile in found)


@torch.no_grad()
def view_rows(source: Source, recipe: Recipe) -> list[ViewRow]:
    """Images spread over the source as the first epochs see them: drawn by the recipe, nothing made up for the page."""
    views = Views(recipe)
    rows = []
    for i, image in _spread(source, ROWS):
        epochs = np.arange(EPOCHS)
        crops = torch.stack([views.cut(image, epoch, i) for epoch in range(EPOCHS)])
        seen = views.finish(crops, np.full(EPOCHS, i), epochs)
        queries, keys = (
            [_tile(_shown(x, recipe), f"epoch {epoch + 1}") for epoch, x in enumerate(half)] for half in seen
        )
        rows.append(
            ViewRow(_tile(picture(image), source.name(i)), queries, [] if isinstance(recipe.keys, Stored) else keys)
        )
    return rows


def neighbours(source: Source, backbone: nn.Module, preprocess: Preprocess, placement: Placement) -> Neighbours:
    """The nearest images by cosine of the backbone's features, among as many as take a few seconds.

    Which images those are depends on the source, the backbone and the kind of device alone. Raises MocoError where none
    can be read.
    """
    sample = _sample(source, _affordable(source, backbone, preprocess.size, preprocess.channels, placement))
    images = Prepared(Part(source, sample, [""] * len(sample), "a sample"), preprocess.centre)
    features = embed(placement.put(backbone), images, preprocess.normalise, placement, batch=64)
    positions = sample[images.index]
    small = torch.cat([F.adaptive_avg_pool2d(_of_255(batch), _COARSE).flatten(1) for batch in images.batches(256)])
    unit = F.normalize(features, dim=1)
    rows = []
    for query in np.unique(((np.arange(ROWS) + 0.5) * len(unit) / ROWS).astype(int)).tolist():
        cosine = unit @ unit[query]
        cosine[query] = -torch.inf
        best = cosine.topk(min(NEAREST, len(unit) - 1))
        copies = _nearly_same(small[query], small[best.indices])
        found = [
            _thumbnail(source, int(positions[i]), value, same)
            for i, value, same in zip(best.indices.tolist(), best.values.tolist(), copies.tolist(), strict=True)
        ]
        rows.append((_thumbnail(source, int(positions[query])), found))
    return Neighbours(rows, len(unit), features.shape[1])


def _affordable(source: Source, backbone: nn.Module, size: int, channels: int, placement: Placement) -> int:
    """How many images can be decoded and encoded in a few seconds."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.eval()(torch.zeros(1, channels, size, size))
    flops = max(1, counter.get_total_flops())
    affordable = MOST_FLOPS_CPU if placement.device.type == "cpu" else MOST_FLOPS
    pixels = survey(source, sample=64).mean_area
    return max(LEAST_SEARCHED, min(MOST_SEARCHED, int(affordable / flops), int(MOST_PIXELS / pixels)))


def _sample(source: Source, n: int) -> NDArray[np.int64]:
    """At most n positions, evenly spread."""
    return sample(source, n)


def _spread(source: Source, n: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Up to n readable images, evenly spread; each unreadable one is replaced by one of the next few."""
    for start in _sample(source, n).tolist():
        for i in range(start, min(start + 5, len(source))):
            try:
                yield i, decode(source.raw(i))
                break
            except Unreadable:
                continue


def _of_255(batch: Tensor) -> Tensor:
    """Images with values up to 255, whether bytes or numbers in [0, 1]."""
    return batch * 255 if batch.is_floating_point() else batch.float()


def _nearly_same(image: Tensor, others: Tensor) -> Tensor:
    """Which images differ from this one by less than a twentieth of its own contrast, seen coarsely."""
    contrast = (image - image.mean()).abs().mean()
    return (others - image).abs().mean(dim=1) <= 0.05 * contrast + 0.5


def _shown(x: Tensor, recipe: Recipe) -> NDArray[np.uint8]:
    """A normalised view as a picture."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (recipe.normalize.mean, recipe.normalize.std))
    unit = (x * std + mean).clamp(0, 1).permute(1, 2, 0)
    if recipe.pixels is not None and (recipe.pixels.kind != "uint8" or recipe.pixels.channels not in (1, 3)):
        return picture(unit.numpy())
    return picture((unit * 255).round().byte().numpy())


def _thumbnail(source: Source, i: int, cosine: float | None = None, copy: bool = False) -> Tile:
    try:
        pixels = picture(decode(source.raw(i)))
    except Unreadable:  # it was readable a moment ago
        pixels = np.full((8, 8, 3), 200, dtype=np.uint8)
    return _tile(pixels, source.name(i), cosine, copy)


def _tile(pixels: NDArray[np.uint8], name: str, cosine: float | None = None, copy: bool = False) -> Tile:
    image = PIL.Image.fromarray(pixels)
    coarse = max(image.size) <= 64
    image.thumbnail((_SIDE, _SIDE), PIL.Image.Resampling.LANCZOS)
    file = io.BytesIO()
    if coarse:
        image.save(file, "PNG", optimize=True)
    else:
        image.save(file, "JPEG", quality=88)
    kind = "png" if coarse else "jpeg"
    return Tile(f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", name, coarse, cosine, copy)
