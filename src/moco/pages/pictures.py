"""Pictures from the images of a run: the views that are trained on, and what the encoder finds alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from moco.data.decode import decode
from moco.data.groups import Groups
from moco.data.labelled import JUDGED
from moco.data.part import Part
from moco.data.partners import Partners
from moco.data.picture import picture
from moco.data.source import Source, Unreadable, sample
from moco.data.survey import survey
from moco.device import Placement
from moco.embed import Prepared, embed
from moco.pages.confusion import Confusion, confusion
from moco.pages.happened import Deed, happened, in_short, in_words
from moco.pages.tiles import Tile, thumbnail, tile
from moco.preprocess import Preprocess
from moco.recipe import Recipe, Stored
from moco.two_views import KEY, Views

ROWS = 8
NEAREST = 7
EPOCHS = 3
"""Epochs whose views are shown."""

MOST_SEARCHED, LEAST_SEARCHED = 1000, 48
MOST_PAIRED, LEAST_PAIRED = 256, 16
MOST_FLOPS, MOST_FLOPS_CPU = 2.1e12, 7e11
"""Work of the encoder: 256 images of 224 px through a ResNet-50, 85 without a GPU (but see the least numbers above)."""
MOST_PIXELS = 3e8
"""Pixels that are decoded to search in."""

_COARSE = 16


@dataclass(frozen=True)
class ViewRow:
    """An image, and how it was seen as a query and as a key."""

    image: Tile
    queries: list[Tile]
    keys: list[Tile]
    """Empty where keys are looked up, and no second view is drawn."""
    deeds: list[tuple[str, list[Deed]]]
    """Which view (as in "query, epoch 1"), and what was done to the image to make it; in the order of the pictures."""


@dataclass(frozen=True)
class Neighbours:
    """Images with those that the encoder finds most similar."""

    rows: list[tuple[Tile, list[Tile]]]
    searched: int
    width: int
    """D, the length of the features."""
    pairs: list[tuple[int, int]]
    """Positions in the source: of the image of each row, and of the most similar one that is no copy of it."""
    confusion: Confusion | None
    """Of all that were searched, where they state classes."""

    @property
    def copies(self) -> int:
        """How many of those shown are nearly the same image."""
        return sum(one.copy for _, found in self.rows for one in found)


@torch.no_grad()
def view_rows(source: Source, recipe: Recipe, groups: Groups | None = None) -> list[ViewRow]:
    """Images spread over the source as the first epochs see them: drawn by the recipe, nothing made up for the page.

    Where groups are known, keys are of the partners that these epochs draw.
    """
    views = Views(recipe)
    rows = []
    for i, image in _spread(source, ROWS):
        if image is None:
            rows.append(ViewRow(thumbnail(source, i), [], [], []))
            continue
        epochs = np.arange(EPOCHS)
        crops = torch.stack([views.cut(image, epoch, i) for epoch in range(EPOCHS)])
        answering = [image] * EPOCHS
        if groups is not None:
            answering = [_partner(source, recipe, groups, i, epoch, image) for epoch in range(EPOCHS)]
            for epoch, other in enumerate(answering):
                crops[epoch, KEY] = views.cut(other, epoch, i)[KEY]
        seen = views.finish(crops, np.full(EPOCHS, i), epochs)
        kinds = ("query",) if isinstance(recipe.keys, Stored) else ("query", "key")
        halves, deeds = [], []
        for number, kind in enumerate(kinds):
            tiles = []
            for epoch, x in enumerate(seen[number]):
                cut = answering[epoch] if number == KEY else image
                done = happened(views, cut.shape[:2], i, epoch, number)
                deeds.append((f"{kind}, epoch {epoch + 1}", done))
                tiles.append(tile(shown(x, recipe), f"{kind}, epoch {epoch + 1}: {in_words(done)}", in_short(done)))
            halves.append(tiles)
        original = tile(picture(image), source.name(i))
        rows.append(ViewRow(original, halves[0], halves[1] if len(halves) > 1 else [], deeds))
    return rows


def _partner(source: Source, recipe: Recipe, groups: Groups, i: int, epoch: int, image: NDArray[Any]) -> NDArray[Any]:
    """The image that the first key of image i is made of in an epoch; the image itself where that is unreadable."""
    met, _ = Partners(groups, recipe.positives, recipe.seed).of(np.array([i]), epoch)
    try:
        return decode(source.raw(int(met[0])))
    except Unreadable:
        return image


@dataclass(frozen=True)
class Budget:
    """What a page may take: images to search in, images whose pairs are looked at, and passes to find reasons by."""

    searched: int
    paired: int
    passes: int


def budget(source: Source, backbone: nn.Module, size: int, channels: int, placement: Placement) -> Budget:
    """What can be decoded and encoded in a few seconds; from the work of the encoder and the size of the images."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.eval()(torch.zeros(1, channels, size, size))
    most = (MOST_FLOPS_CPU if placement.device.type == "cpu" else MOST_FLOPS) / max(1, counter.get_total_flops())
    images = min(MOST_SEARCHED, int(most / 2), int(MOST_PIXELS / survey(source, sample=64).mean_area))
    paired = min(MOST_PAIRED, int(most / 8))  # two views each, and decoded anew
    return Budget(max(LEAST_SEARCHED, images), max(LEAST_PAIRED, paired), int(most / 4))


def neighbours(
    source: Source, backbone: nn.Module, preprocess: Preprocess, placement: Placement, images: int
) -> Neighbours:
    """The nearest images by cosine of the backbone's features, among so many spread over the source.

    Which images those are depends on the source and their number alone. Raises MocoError where none can be read.
    """
    sample = _sample(source, images)
    prepared = Prepared(Part(source, sample, [""] * len(sample), "a sample"), preprocess.centre)
    features = embed(placement.put(backbone), prepared, preprocess.normalise, placement, batch=64)
    positions = sample[prepared.index]
    small = torch.cat([F.adaptive_avg_pool2d(of_255(batch), _COARSE).flatten(1) for batch in prepared.batches(256)])
    unit = F.normalize(features, dim=1)
    rows, pairs = [], []
    for query in np.unique(((np.arange(ROWS) + 0.5) * len(unit) / ROWS).astype(int)).tolist():
        cosine = unit @ unit[query]
        cosine[query] = -torch.inf
        best = cosine.topk(min(NEAREST, len(unit) - 1))
        copies = nearly_same(small[query], small[best.indices]).tolist()
        near = best.indices.tolist()
        found = [
            thumbnail(source, int(positions[i]), value, same)
            for i, value, same in zip(near, best.values.tolist(), copies, strict=True)
        ]
        rows.append((thumbnail(source, int(positions[query])), found))
        pairs += [(int(positions[query]), int(positions[i])) for i, same in zip(near, copies, strict=True) if not same][
            :1
        ]
    labels = [source.label(int(i)) for i in positions]
    parts = {"train", *JUDGED}  # the folders of a split are no classes
    named = confusion(features, labels) if not {*labels} <= {None, *parts} else None
    return Neighbours(rows, len(unit), features.shape[1], pairs, named)


def _sample(source: Source, n: int) -> NDArray[np.int64]:
    """At most n positions, evenly spread."""
    return sample(source, n)


def _spread(source: Source, n: int) -> Iterator[tuple[int, NDArray[Any] | None]]:
    """Up to n images, evenly spread; an unreadable one is replaced by one of the next few, or else is None."""
    for start in _sample(source, n).tolist():
        for i in range(start, min(start + 5, len(source))):
            try:
                yield i, decode(source.raw(i))
                break
            except Unreadable:
                continue
        else:
            yield start, None


def of_255(batch: Tensor) -> Tensor:
    """Images with values up to 255, whether bytes or numbers in [0, 1]."""
    return batch * 255 if batch.is_floating_point() else batch.float()


def nearly_same(image: Tensor, others: Tensor) -> Tensor:
    """Which images differ from this one by less than a twentieth of its own contrast, seen coarsely."""
    contrast = (image - image.mean()).abs().mean()
    return (others - image).abs().mean(dim=1) <= 0.05 * contrast + 0.5


def shown(x: Tensor, recipe: Recipe) -> NDArray[np.uint8]:
    """A normalised view as a picture."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (recipe.normalize.mean, recipe.normalize.std))
    unit = (x * std + mean).clamp(0, 1).permute(1, 2, 0)
    if recipe.pixels is not None and (recipe.pixels.kind != "uint8" or recipe.pixels.channels not in (1, 3)):
        return picture(unit.numpy())
    return picture((unit * 255).round().byte().numpy())
