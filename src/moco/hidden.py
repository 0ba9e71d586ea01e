"""What of a view is hidden from the query: patches that a ViT is not given, or a rectangle that is erased.

The key sees all, so the query has to tell what it does not see from what it does. Drawn from (seed, step, place in the
batch, turn), so it is the same in any process, in any part of a batch, and after a resume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moco.ops import draw
from moco.ops.crop import beside
from moco.recipe import Recipe
from moco.recipe.vit import vit_name

AREA, RATIO = (0.02, 0.33), (0.3, 3.3)
"""Of an erased rectangle: its share of the view, and height over width (arXiv:1708.04896)."""


@dataclass(frozen=True)
class Hidden:
    """What a recipe hides."""

    seed: int
    keep: float
    """Share of the patches that is left."""
    patches: int
    """How many an image has; 0 without a ViT."""
    erase: float
    """Probability of a rectangle."""

    @classmethod
    def of(cls, recipe: Recipe) -> Hidden:
        """By the query view of a recipe."""
        vit, view = vit_name(recipe.encoder.backbone), recipe.query_view
        return cls(recipe.seed, view.keep, 0 if vit is None else vit.grid**2, view.erase)

    def kept(self, step: int, turn: int, places: slice, beside_: Tensor) -> Tensor | None:
        """The patches that are left of the images at these places of the whole batch (n x P', in order).

        None where all are.
        """
        if self.keep == 1:
            return None
        names = np.arange(places.start, places.stop)[:, None], np.arange(self.patches)
        drawn = draw.counter(self.seed, draw.stream("keep"), step, turn, *names)
        left = max(1, round(self.keep * self.patches))
        return beside(beside_, np.sort(np.argsort(drawn, axis=1, kind="stable")[:, :left], axis=1))

    def erased(self, x: Tensor, step: int, turn: int, places: slice) -> Tensor:
        """Views (n x C x S x S) in which some have a rectangle of zeros: the mean of what is normalised."""
        if self.erase == 0:
            return x
        boxes = self._boxes(step, turn, places, x.shape[-1])
        return erase(x, beside(x, boxes))

    def _boxes(self, step: int, turn: int, places: slice, side: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """Top, left, bottom, right (n x 4) of what is erased; empty where nothing is."""
        names = self.seed, draw.stream("erase"), step, turn, np.arange(places.start, places.stop)
        on, area, ratio, top, left = (draw.uniform(*names, number) for number in range(5))
        area = AREA[0] + area * (AREA[1] - AREA[0])
        ratio = np.exp(np.log(RATIO[0]) + ratio * (np.log(RATIO[1]) - np.log(RATIO[0])))
        height, width = (np.clip(np.rint(side * np.sqrt(share)), 1, side) for share in (area * ratio, area / ratio))
        top, left = (np.floor(place * (side - size + 1)) for place, size in ((top, height), (left, width)))
        boxes = np.stack([top, left, top + height, left + width], axis=1)
        return np.where((on < self.erase)[:, None], boxes, 0).astype(np.int64)


def erase(x: Tensor, boxes: Tensor) -> Tensor:
    """Views with zeros from top to bottom and left to right (n x 4), on their device and without a loop."""
    top, left, bottom, right = boxes[:, :, None].unbind(1)
    place = torch.arange(x.shape[-1], device=x.device)
    inside = ((place >= top) & (place < bottom))[:, None, :, None] & ((place >= left) & (place < right))[:, None, None]
    return x.masked_fill(inside, 0.0)


def erase_plain(x: Tensor, boxes: Tensor) -> Tensor:
    """The same, one view after the other."""
    x = x.clone()
    for view, (top, left, bottom, right) in zip(x, boxes.tolist(), strict=True):
        view[:, top:bottom, left:right] = 0.0
    return x
