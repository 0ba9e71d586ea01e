"""What an encoder has learnt, without labels: does it know which way is up, and find a view of an image again?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from moco.data.memory import Memory
from moco.device import Placement
from moco.encoder import Encoder
from moco.recipe import Recipe, View
from moco.recipe.views import REFERENCES, WHOLE
from moco.scores.retrieval import retrieval_accuracy
from moco.scores.rotation import TURNS, rotation_accuracy, turned
from moco.two_views import QUERY, Views

PROBE_EPOCH = 3 << 40
"""The epoch whose views the images are seen in: one that no training reaches."""

CHANCE = 1 / TURNS

UPRIGHT = 0.3
"""Share of turns that must be found for rotation to mean anything."""

TOLD_BY_COLOUR = 0.6
"""Share of the turns found beyond chance that must be found without colour too. Where fewer are, fringes of colour that
a lens leaves tell them, not what the image shows: on blood cells 0.40, on seven sets of images with an up and a down
0.88 and more (docs/auto.md)."""

SURE = 3.0
"""Standard errors by which those found without colour must be fewer: of a hundred photographs that share is lost by
chance (docs/auto.md)."""

MOST_IMAGES = 2048
"""Whose turns are asked for. Of half as many a probe learns less, and errs by as much as good views differ by."""

_MOST_PAIRS = 512
_MOST_BYTES = 512 << 20

Found = dict[str, float]
"""Scores by name; each is the share of images (or turns of one) that are found."""


class Probe:
    """A fixed sample of images in views that are the same for all encoders that are compared, and in quarter turns."""

    def __init__(self, memory: Memory, recipe: Recipe, placement: Placement, most: int = MOST_IMAGES) -> None:
        """Of at most so many images; of `recipe`, only their size and their normalisation are used."""
        each = 12 * recipe.image_size**2  # bytes of three planes of floats
        self._recipe, self._placement, self._memory = recipe, placement, memory
        index = _spread(len(memory), min(most, _MOST_BYTES // (2 * each)))
        self.images = len(index)
        """Of how many images the turns are asked for."""
        pairs = _spread(len(memory), min(_MOST_PAIRS, _MOST_BYTES // (4 * len(REFERENCES) * each)))
        self.pairs = len(pairs)
        """Among how many images a view is looked for."""
        self._index = index
        self._upright = self._seen(WHOLE, index, key=False)[QUERY]
        self._pairs = {name: self._seen(view, pairs) for name, view in REFERENCES.items()}

    @torch.no_grad()
    def __call__(self, encoder: Encoder) -> Found:
        """Rotation of the backbone's features, and retrieval under each reference by the head's."""
        was_training = encoder.training
        encoder.eval()
        found = {"rotation": self._turns(encoder, self._upright)}
        for name, pair in self._pairs.items():
            a, b = (encoder.head(self._embed(encoder.backbone, x).to(self._placement.device)).float() for x in pair)
            found[f"retrieval, {name}"] = retrieval_accuracy(a.cpu(), b.cpu())
        encoder.train(was_training)
        return found

    @torch.no_grad()
    def without_colour(self, encoder: Encoder) -> float:
        """The rotation probe where images are gray; images that are no RGB stay as they are."""
        was_training = encoder.training
        encoder.eval()
        found = self._turns(encoder, self._seen(replace(WHOLE, gray=1.0), self._index, key=False)[QUERY])
        encoder.train(was_training)
        return found

    def _seen(self, view: View, index: NDArray[np.int64], key: bool = True) -> tuple[Tensor, Tensor]:
        """These images in views drawn like this one: queries, and keys if they are wanted."""
        recipe = replace(self._recipe, query_view=view, key_view=None)
        return Views(recipe, key=key)(*self._memory.batch(index), index, PROBE_EPOCH)

    def _turns(self, encoder: Encoder, upright: Tensor) -> float:
        parts = torch.split(upright, 256)
        features = [self._embed(encoder.backbone, turned(part)).view(TURNS, len(part), -1) for part in parts]
        return rotation_accuracy(torch.cat(features, dim=1).flatten(0, 1))

    def _embed(self, net: torch.nn.Module, images: Tensor) -> Tensor:
        found = []
        for part in torch.split(images, 256):
            x = part.to(self._placement.device).contiguous(memory_format=self._placement.memory_format)
            with self._placement.autocast():
                found.append(net(x).float())
        return torch.cat(found).cpu()


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """So many places of so many, at least two, as far apart as they can be."""
    return np.unique(np.linspace(0, count - 1, max(2, min(most, count))).round().astype(np.int64))


def told_by_colour(rotation: float, without_colour: float, images: int) -> bool:
    """Whether turns are found by fringes of colour, in an encoder that has learnt nothing, and not by what is shown.

    The shares are of the turns of so many images.
    """
    error = math.sqrt(sum(p * (1 - p) for p in (rotation, without_colour)) / (TURNS * images))
    sure = rotation - without_colour > SURE * error
    return sure and without_colour - CHANCE < TOLD_BY_COLOUR * (rotation - CHANCE)


def merit(found: Sequence[Found]) -> list[float]:
    """One number for each of several encoders of the same images, in standard scores: the more, the more was learnt.

    The rotation probe's alone, which of all scores without labels makes the best choice (docs/auto.md): where views are
    found again they are weak first of all, so that retrieval is wrong even among those that turns cannot tell apart.
    Where the probe finds no turns in the features of any, because the images have no up and down, retrieval's.
    """
    turns = [one["rotation"] for one in found]
    if max(turns) >= UPRIGHT:
        return [float(x) for x in _standard(turns)]
    views = [name for name in found[0] if name.startswith("retrieval")]
    return [float(x) for x in np.mean([_standard([one[name] for one in found]) for name in views], axis=0)]


def _standard(values: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    return (x - x.mean()) / x.std() if x.std() > 0 else np.zeros(len(x))
