"""Scores that need no labels, on a fixed sample of the training images, once an epoch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.data.cutting import read_or_next
from moco.data.source import Source, sample
from moco.device import Placement
from moco.encoder import Encoder
from moco.ops.scores import alignment, effective_rank, spread, uniformity
from moco.preprocess import Preprocess
from moco.recipe import Recipe
from moco.scores.rotation import TURNS, rotation_accuracy
from moco.two_views import Views

SAMPLE_EPOCH = 1 << 40
"""The epoch whose views the sample is seen in: one that no training reaches."""

_MOST_IMAGES = 1024
_MOST_BYTES = 256 << 20


def looked_at(images: int, recipe: Recipe) -> int:
    """How many of so many images are looked at: an eighth at most, and no more than there is room for."""
    room = _MOST_BYTES // (9 * recipe.image_size**2 * (1 if recipe.pixels is None else recipe.pixels.bytes))
    return max(2, min(_MOST_IMAGES, room, images // 8))


class LabelFree:
    """A fixed sample of images, in two views and in the middle crop, and what an encoder makes of it."""

    def __init__(
        self, source: Source, recipe: Recipe, views: Views, preprocess: Preprocess, placement: Placement
    ) -> None:
        self.index: NDArray[np.int64] = sample(source, looked_at(len(source), recipe))
        images = [read_or_next(source, int(i), {}) for i in self.index]
        cuts = zip(self.index, images, strict=True)
        self._crops = torch.stack([views.cut(image, SAMPLE_EPOCH, int(i)) for i, image in cuts])
        self._centres = torch.stack([preprocess.centre(image) for image in images])
        self._preprocess = preprocess
        self._views = views
        self._placement = placement

    @torch.no_grad()
    def __call__(self, encoder: Encoder) -> dict[str, float]:
        """Rotation probe and effective rank of the backbone; alignment, uniformity and spread of the head."""
        was_training = encoder.training
        encoder.eval()
        features: list[list[Tensor]] = [[] for _ in range(TURNS)]
        z, a, b = [], [], []
        for rows in np.array_split(np.arange(len(self.index)), -(-len(self.index) // 256)):
            part = slice(rows[0], rows[-1] + 1)
            centres = self._preprocess.normalise(self._centres[part].to(self._placement.device))
            for turn, found in enumerate(features):
                found.append(self._embed(encoder, torch.rot90(centres, turn, (2, 3))))
            z.append(self._head(encoder, features[0][-1]))
            x_q, x_k = self._views.finish(self._crops[part].to(self._placement.device), self.index[part], SAMPLE_EPOCH)
            a.append(self._head(encoder, self._embed(encoder, x_q)))
            b.append(self._head(encoder, self._embed(encoder, x_k)))
        encoder.train(was_training)
        return {
            "rotation": rotation_accuracy(torch.cat([torch.cat(found) for found in features])),
            "rank": float(effective_rank(torch.cat(features[0]))),
            "alignment": float(alignment(torch.cat(a), torch.cat(b))),
            "uniformity": float(uniformity(torch.cat(z))),
            "spread": float(spread(torch.cat(z))),
        }

    def _embed(self, encoder: Encoder, x: Tensor) -> Tensor:
        with self._placement.autocast():
            features: Tensor = encoder.backbone(x.contiguous(memory_format=self._placement.memory_format))
        return features.float()

    def _head(self, encoder: Encoder, features: Tensor) -> Tensor:
        return torch.nn.functional.normalize(encoder.head(features), dim=1)
