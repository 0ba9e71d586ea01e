"""Two towers, one for images and one for texts, each with its momentum copy.

The pairs of CLIP (arXiv:2103.00020) in the momentum contrast of v1: an image's query is contrasted with the key of its
caption and a queue of captions' keys, a caption's query with the key of its image and a queue of images' keys.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moco import distributed
from moco.encoder import Encoder
from moco.hidden import Hidden
from moco.model import Contrastive, Encode, Turn
from moco.ops.momentum import momentum_update_
from moco.recipe import Recipe
from moco.recipe.check import refuse_groups_beyond_parts
from moco.recipe.text import MOST_SCALE, Text
from moco.shuffle import Seen
from moco.text.borrowed import Borrowed, BorrowedTower
from moco.text.told import Told
from moco.text.tower import TextTower
from moco.text.words import Words


class Reader(nn.Module):
    """f of texts: whole numbers (N x L) to unit vectors (N x dim), through features (N x D)."""

    def __init__(self, text: Text, dim: int, words: Words | Borrowed) -> None:
        super().__init__()
        self.tower = _tower(text, words)
        self.head = nn.Linear(self.tower.width, dim, bias=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """The query or key of each text, of unit length, in fp32."""
        projected: Tensor = self.head(self.tower(numbers))
        with torch.autocast(numbers.device.type, enabled=False):
            return F.normalize(projected.float(), dim=1)


class TwoTowers(nn.Module):
    """f_q and f_k of images as ever, with their BatchNorm groups and shuffling, and the same of texts."""

    numbers: Tensor

    def __init__(self, recipe: Recipe, text: Text, told: Told, parts: int = 1) -> None:
        """`told` are the captions of the data set."""
        super().__init__()
        self.images = Contrastive(recipe, parts)
        self.by_features = self.images.by_features
        if self.by_features:
            refuse_groups_beyond_parts(recipe, parts, distributed.count())
        self.text_query_encoder = Reader(text, recipe.encoder.dim, told.words)
        self.text_key_encoder = copy.deepcopy(self.text_query_encoder).requires_grad_(False)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(recipe.loss.temperature)))
        """The logarithm of 1 / temperature, learnt with the rest (CLIP, section 2.5)."""
        self.register_buffer("numbers", told.numbers, persistent=False)

    @property
    def query_encoder(self) -> Encoder:
        """That of images."""
        return self.images.query_encoder

    @property
    def key_encoder(self) -> Encoder | None:
        """That of images."""
        return self.images.key_encoder

    @property
    def predictor(self) -> nn.Module | None:
        """That of images."""
        return self.images.predictor

    @property
    def hidden(self) -> Hidden:
        """What is hidden from queries of images."""
        return self.images.hidden

    @property
    def encode(self) -> Encode:
        """How the encoders of images are run in training."""
        return self.images.encode

    @encode.setter
    def encode(self, form: Encode) -> None:
        self.images.encode = form

    @property
    def temperature(self) -> Tensor:
        """tau, with gradient."""
        return (-self.log_scale).exp()

    def turns(
        self, x_q: Seen, x_k: Seen, step: int, index: Tensor | None = None, small: Sequence[Seen] = ()
    ) -> list[Turn]:
        """Images (of view x_q, and small crops) ask for captions, and captions for images (of view x_k)."""
        assert index is not None
        numbers = self.numbers[index]
        image = self.images.turns(x_q, x_k, step, small=small)[0]
        with torch.no_grad():
            captions: Tensor = self.text_key_encoder(numbers)
        return [Turn(image.ask, captions), Turn(partial(_read, self.text_query_encoder, numbers), image.keys)]

    @torch.no_grad()
    def momentum_update(self, m: float) -> None:
        """Equation 2 for both towers; and the temperature is kept from falling below 1 / 100."""
        self.images.momentum_update(m)
        momentum_update_(list(self.text_key_encoder.parameters()), list(self.text_query_encoder.parameters()), m)
        self.log_scale.clamp_(max=math.log(MOST_SCALE))


def _read(encoder: Reader, numbers: Tensor, rows: slice) -> Tensor:
    found: Tensor = encoder(numbers[rows])
    return found


def _tower(text: Text, words: Words | Borrowed) -> TextTower | BorrowedTower:
    match words:
        case Words():
            return TextTower(text)
        case Borrowed():
            return words.network()
