"""The query encoder, where keys come from, and the momentum update."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from moco import distributed
from moco.encoder import Encoder, build_encoder
from moco.ops import draw
from moco.ops.momentum import momentum_update_
from moco.recipe import EndToEnd, Momentum, Recipe, Stored, channels_of
from moco.shuffle import Unmade, in_order, shuffled


def encode(encoder: Encoder, images: Tensor) -> Tensor:
    """The unit vectors of images, as the encoder is written; what a compiled form is the twin of."""
    unit: Tensor = encoder(images)
    return unit


class Contrastive(nn.Module):
    """f_q, f_k and how keys are made from them (v1, figure 2)."""

    key_encoder: Encoder | None
    encode: Callable[[Encoder, Tensor], Tensor]
    """How an encoder is run in training: as it is written, or compiled. Beside the modules, so that no name changes."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.keys = recipe.keys
        self.symmetric = recipe.loss.symmetric
        self.seed = recipe.seed
        self.grouped = recipe.encoder.norm_group is not None
        self.encode = encode
        self.query_encoder = build_encoder(recipe.encoder, channels_of(recipe.pixels))[0]
        self.key_encoder = None
        if isinstance(recipe.keys, Momentum):
            self.key_encoder = copy.deepcopy(self.query_encoder).requires_grad_(False)

    def pairs(self, x_q: Tensor | Unmade, x_k: Tensor | Unmade, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(q, k), each N x C of unit length; for a symmetric loss also the pair the other way round."""
        match self.keys:
            case Momentum(shuffle=shuffle):
                yield self.encode(self.query_encoder, in_order(x_q)), self._key(x_k, shuffle, step, half=0)
                if self.symmetric:
                    yield self.encode(self.query_encoder, in_order(x_k)), self._key(x_q, shuffle, step, half=1)
            case EndToEnd(shuffle=shuffle):
                q = self.encode(self.query_encoder, in_order(x_q))
                k = self._shuffled(self.query_encoder, x_k, shuffle, step, half=0)
                yield q, k
                if self.symmetric:
                    yield k, q
            case Stored():
                q = self.encode(self.query_encoder, in_order(x_q))
                yield q, q.detach()

    @torch.no_grad()
    def _key(self, x: Tensor | Unmade, shuffle: bool, step: int, half: int) -> Tensor:
        assert self.key_encoder is not None
        return self._shuffled(self.key_encoder, x, shuffle, step, half)

    def _shuffled(self, encoder: Encoder, x: Tensor | Unmade, shuffle: bool, step: int, half: int) -> Tensor:
        """Encode the images in a drawn order, so that BatchNorm groups differ from the queries' (v1, section 3.3)."""
        if not (shuffle and self.grouped):
            return self.encode(encoder, in_order(x))
        order = draw.permutation(len(x) * distributed.count(), self.seed, draw.stream("shuffle"), step, half)
        return distributed.permute(self.encode(encoder, shuffled(x, order)), np.argsort(order))

    def momentum_update(self) -> None:
        """Equation 2 over all parameters, head included; BatchNorm statistics are the key encoder's own."""
        match self.keys:
            case Momentum(m=m):
                assert self.key_encoder is not None
                momentum_update_(list(self.key_encoder.parameters()), list(self.query_encoder.parameters()), m)
            case EndToEnd() | Stored():
                pass
