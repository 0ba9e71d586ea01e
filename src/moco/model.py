"""The query encoder, where keys come from, and the momentum update."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from moco import distributed
from moco.encoder import Encoder, build_encoder, build_predictor
from moco.hidden import Hidden
from moco.ops import draw
from moco.ops.momentum import momentum_update_
from moco.ops.running import one_batch
from moco.recipe import EndToEnd, Momentum, Recipe, Stored, channels_of
from moco.recipe.check import groups_fit, refuse_groups_beyond_parts
from moco.shuffle import Seen, made, rows_of, shuffled


def encode(encoder: Encoder, images: Tensor, kept: Tensor | None = None, predictor: nn.Module | None = None) -> Tensor:
    """The unit vectors of images, as the encoder is written; what a compiled form is the twin of."""
    unit: Tensor = encoder(images, kept, predictor)
    return unit


class Encode(Protocol):
    """A way to run an encoder."""

    def __call__(
        self, encoder: Encoder, images: Tensor, kept: Tensor | None = None, predictor: nn.Module | None = None
    ) -> Tensor: ...


@dataclass(frozen=True)
class Turn:
    """One way round of a step: one view asks, the other has answered."""

    ask: Callable[[slice], Tensor] | Asking
    """The queries of these rows of the batch (n x C), of unit length, with gradient; where several ask for the same
    keys, those of one behind those of the other (Mn x C)."""
    keys: Tensor
    """The keys of the whole batch (N x C), of unit length; with gradient where they are the query encoder's own."""


@dataclass(frozen=True)
class Asking:
    """Queries that are made when they are asked for; at once, or as features first, which become vectors together."""

    model: Contrastive
    x: Seen
    step: int
    half: int
    """0 for the first turn of a step, 1 for the second."""
    small: Sequence[Seen] = ()
    """Small crops of the same images that ask as well."""

    def __call__(self, rows: slice) -> Tensor:
        """The queries of these rows."""
        images, kept = self._seen(rows)
        asked = [self._by_patches(images) if self.model.patches > 1 else self._whole(images, kept)]
        return torch.cat([*asked, *(self._whole(made(x[rows])) for x in self.small)])

    def _whole(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        return self.model.encode(self.model.query_encoder, images, kept, self.model.predictor)

    def _by_patches(self, images: Tensor) -> Tensor:
        """Of each two patches the query that the mean of their features becomes (Fast-MoCo, section 3.2)."""
        encoder = self.model.query_encoder
        alone = encoder.features(patches_of(images, self.model.patches)).chunk(self.model.patches**2)
        return self.vectors(torch.cat([(one + other) / 2 for one, other in combinations(alone, 2)]))

    def features(self, rows: slice) -> Tensor:
        """The features of these rows (n x D)."""
        images, kept = self._seen(rows)
        return self.model.query_encoder.features(images, kept)

    def vectors(self, features: Tensor) -> Tensor:
        """The queries that features become."""
        return self.model.query_encoder.vectors(features, self.model.predictor)

    def _seen(self, rows: slice) -> tuple[Tensor, Tensor | None]:
        """The views of these rows without what is hidden from queries, and the patches that are left of them."""
        view, first, hidden = made(self.x[rows]), distributed.first_row(len(self.x)), self.model.hidden
        places = slice(first + rows.start, first + rows.stop)
        kept = hidden.kept(self.step, self.half, places, view)
        return hidden.erased(view, self.step, self.half, places), kept


def patches_of(images: Tensor, across: int) -> Tensor:
    """N x C x S x S cut into `across` times as many patches each way, those of one place behind those of another."""
    side = images.shape[-1] // across
    spans = [slice(first, first + side) for first in range(0, side * across, side)]
    cut = torch.cat([images[:, :, rows, columns] for rows in spans for columns in spans])
    layout = torch.channels_last if images.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    return cut.contiguous(memory_format=layout)


class Contrastive(nn.Module):
    """f_q, f_k and how keys are made from them (v1, figure 2)."""

    key_encoder: Encoder | None
    predictor: nn.Module | None
    """What stands behind the query's head alone (v3)."""
    encode: Encode
    """How an encoder is run in training: as it is written, or compiled. Beside the modules, so that no name changes."""

    def __init__(self, recipe: Recipe, parts: int = 1) -> None:
        super().__init__()
        self.keys = recipe.keys
        self.symmetric = recipe.loss.symmetric
        self.seed = recipe.seed
        self.temperature = recipe.loss.temperature
        self.grouped = recipe.encoder.norm_group is not None
        self.patches = recipe.queries.patches
        self.parts = parts
        self.by_features = parts > 1 and not groups_fit(recipe, parts, distributed.count())
        """Whether BatchNorm of heads is over more images than a part has: features part by part, heads at once."""
        self.encode = encode
        self.query_encoder = build_encoder(recipe.encoder, channels_of(recipe.pixels))[0]
        self.key_encoder = None
        if isinstance(recipe.keys, Momentum):
            self.key_encoder = copy.deepcopy(self.query_encoder).requires_grad_(False)
        self.predictor = None if recipe.predictor is None else build_predictor(recipe.predictor, recipe.encoder)
        self.hidden = Hidden.of(recipe)
        if self.by_features and any("BatchNorm" in type(m).__name__ for m in self.query_encoder.backbone.modules()):
            refuse_groups_beyond_parts(recipe, parts, distributed.count())

    def turns(
        self, x_q: Seen, x_k: Seen, step: int, index: Tensor | None = None, small: Sequence[Seen] = ()
    ) -> list[Turn]:
        """What asks and what answers: x_q and the keys of x_k; for a symmetric loss also the other way round.

        Small crops ask for the keys of x_k too.

        Keys of a momentum encoder are those of the whole batch, made `parts` at a time; queries are made when they are
        asked for. Without such an encoder queries and keys are made together.
        """
        match self.keys:
            case Momentum(shuffle=shuffle):
                ways = [(x_q, x_k), (x_k, x_q)] if self.symmetric else [(x_q, x_k)]
                return [
                    Turn(Asking(self, x, step, half, () if half else small), self._key(y, shuffle, step, half))
                    for half, (x, y) in enumerate(ways)
                ]
            case EndToEnd(shuffle=shuffle):
                q = Asking(self, x_q, step, 0)(slice(0, len(x_q)))
                k = self._shuffled(self.query_encoder, x_k, shuffle, step, half=0)
                return [Turn(q.__getitem__, k), Turn(k.__getitem__, q)] if self.symmetric else [Turn(q.__getitem__, k)]
            case Stored():
                q = Asking(self, x_q, step, 0)(slice(0, len(x_q)))
                return [Turn(q.__getitem__, q.detach())]

    @torch.no_grad()
    def _key(self, x: Seen, shuffle: bool, step: int, half: int) -> Tensor:
        assert self.key_encoder is not None
        return self._shuffled(self.key_encoder, x, shuffle, step, half)

    def _shuffled(self, encoder: Encoder, x: Seen, shuffle: bool, step: int, half: int) -> Tensor:
        """Encode the images in a drawn order, so that BatchNorm groups differ from the queries' (v1, section 3.3)."""
        if not (shuffle and self.grouped):
            return self._encoded(encoder, x)
        order = draw.permutation(len(x) * distributed.count(), self.seed, draw.stream("shuffle"), step, half)
        return distributed.permute(self._encoded(encoder, shuffled(x, order)), np.argsort(order))

    def _encoded(self, encoder: Encoder, x: Seen) -> Tensor:
        """The vectors of a whole batch, of which one part at a time is a finished view and in the encoder."""
        if self.parts == 1:
            return self.encode(encoder, made(x))
        parts = rows_of(len(x), self.parts)
        if self.by_features:
            return encoder.vectors(torch.cat([encoder.features(made(x[rows])) for rows in parts]))
        return torch.cat([self.encode(encoder, made(x[rows])) for rows in one_batch(encoder, parts)])

    def momentum_update(self, m: float) -> None:
        """Equation 2 over all parameters, head included; BatchNorm statistics are the key encoder's own."""
        if self.key_encoder is not None:
            momentum_update_(list(self.key_encoder.parameters()), list(self.query_encoder.parameters()), m)
