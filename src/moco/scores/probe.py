"""What an encoder has learnt, without labels: does it know which way is up, and find a view of an image again?"""

from __future__ import annotations

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
a lens leaves tell them, not what the image shows: on blood cells 0.38, on five sets of images with an up and a down
0.89 and more (docs/auto.md)."""

UNSURE = 0.01
"""Difference between two rotation probes that tells nothing: its standard error, each being judged on 4,096 turns."""

_MOST_IMAGES = 1024
_MOST_BYTES = 512 << 20

Found = dict[str, float]
"""Scores by name; each is the share of images (or turns of one) that are found."""


class Probe:
    """A fixed sample of images in views that are the same for all encoders that are compared, and in quarter turns."""

    def __init__(self, memory: Memory, recipe: Recipe, placement: Placement) -> None:
        """Of `recipe`, only the size of the images and their normalisation are used."""
        n = max(2, min(_MOST_IMAGES, _MOST_BYTES // (24 * (len(REFERENCES) + 1) * recipe.image_size**2), len(memory)))
        index: NDArray[np.int64] = np.unique(np.linspace(0, len(memory) - 1, n).round().astype(np.int64))
        self._placement = placement
        self.images = len(index)
        """Of how many images the sample is."""
        self._recipe, self._sample = recipe, (*memory.batch(index), index)
        self._pairs = {name: self._seen(view) for name, view in REFERENCES.items()}
        self._turned = turned(self._seen(WHOLE, key=False)[QUERY])

    @torch.no_grad()
    def __call__(self, encoder: Encoder) -> Found:
        """Rotation of the backbone's features, and retrieval under each reference by the head's."""
        was_training = encoder.training
        encoder.eval()
        found = {"rotation": rotation_accuracy(self._embed(encoder.backbone, self._turned))}
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
        found = rotation_accuracy(
            self._embed(encoder.backbone, turned(self._seen(replace(WHOLE, gray=1.0), key=False)[QUERY]))
        )
        encoder.train(was_training)
        return found

    def _seen(self, view: View, key: bool = True) -> tuple[Tensor, Tensor]:
        """The sample in views drawn like this one: queries, and keys if they are wanted."""
        recipe = replace(self._recipe, query_view=view, key_view=None)
        return Views(recipe, key=key)(*self._sample, PROBE_EPOCH)

    def _embed(self, net: torch.nn.Module, images: Tensor) -> Tensor:
        found = []
        for first in range(0, len(images), 256):
            x = (
                images[first : first + 256]
                .to(self._placement.device)
                .contiguous(memory_format=self._placement.memory_format)
            )
            with self._placement.autocast():
                found.append(net(x).float())
        return torch.cat(found).cpu()


def told_by_colour(rotation: float, without_colour: float) -> bool:
    """Whether turns are found by fringes of colour, in an encoder that has learnt nothing, and not by what is shown."""
    return without_colour - CHANCE < TOLD_BY_COLOUR * (rotation - CHANCE)


def merit(found: Sequence[Found], unsure: float = UNSURE) -> list[float]:
    """One number for each of several encoders of the same images, in standard scores: the more, the more was learnt.

    The rotation probe's, which of all scores without labels makes the best choice (docs/auto.md). Encoders that it
    cannot tell from the best, by so much, change places among themselves, so that the one comes first whose views are
    found again best. Where it finds no turns in the features of any, because the images have no up and down,
    retrieval's.
    """
    turns = np.array([one["rotation"] for one in found])
    views = [name for name in found[0] if name.startswith("retrieval")]
    again = np.mean([_standard([one[name] for one in found]) for name in views], axis=0)
    if turns.max() < UPRIGHT:
        return [float(x) for x in again]
    merits = _standard(turns)
    even = np.flatnonzero(turns >= turns.max() - unsure)
    merits[even[np.argsort(again[even], kind="stable")]] = np.sort(merits[even])
    return [float(x) for x in merits]


def _standard(values: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    return (x - x.mean()) / x.std() if x.std() > 0 else np.zeros(len(x))
