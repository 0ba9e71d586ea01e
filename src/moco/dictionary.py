"""Dictionaries: what a query is contrasted with. `look_up` changes nothing; `update` is the only mutation.

A step asks with all its queries at once, or with some at a time: q are then the queries of rows `first`, `first` + 1,
... of the batch, while k and `index` are always those of the whole of it. Where each query has P keys, k are NP, query
by query.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moco import distributed
from moco.errors import MocoError
from moco.ops import draw
from moco.ops.crop import beside
from moco.ops.info_nce import Alike, Contrast
from moco.recipe import Bank, Batch, Queue, Recipe
from moco.recipe.auto import FEWEST_IMAGES


class KeyQueue(nn.Module):
    """The K latest keys, a ring written in place (v1, section 3.2); before that, random unit vectors.

    Any batch fits that is not larger than the ring; it need not divide K. Keys are kept as they are (4 bytes a number),
    in bf16 (2), or as whole numbers of a 127th of each key's largest (1, and 4 for each key). Where `groups` says of
    which group each image of the data set is, the ring remembers it of each key, and no query meets one of its own.
    """

    keys: Tensor
    scale: Tensor | None
    pointer: Tensor
    groups: Tensor | None
    owner: Tensor | None

    def __init__(
        self,
        size: int,
        dim: int,
        generator: torch.Generator,
        store: Literal["fp32", "bf16", "int8"] = "fp32",
        groups: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.store = store
        keys, scale = self._packed(F.normalize(torch.randn(size, dim, generator=generator), dim=1))
        self.register_buffer("keys", keys)
        self.register_buffer("scale", scale)
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("groups", groups, persistent=False)
        self.register_buffer("owner", None if groups is None else torch.full((size,), -1))

    def look_up(self, q: Tensor, k: Tensor, index: Tensor, step: int, first: int = 0) -> Contrast:
        """Contrast each query (n x C) with its key, or its P keys, and the K latest keys of earlier steps."""
        alike = None
        if self.groups is not None and self.owner is not None:
            alike = Alike(self.groups[index[first : first + len(q)]], self.owner)
        return Contrast(_keys_of(q, k.detach(), index, first), self.keys, scale=self.scale, alike=alike)

    @torch.no_grad()
    def update(self, q: Tensor, k: Tensor, index: Tensor) -> None:
        """Write the keys (NP x C), of all processes, over the oldest, in order; raises MocoError where NP exceeds K."""
        each = len(k) // len(index)
        k = distributed.gather(k)
        size = len(self.keys)
        if len(k) > size:
            raise MocoError(f"a step of {len(k)} keys exceeds the dictionary of {size}")
        place = (self.pointer + torch.arange(len(k), device=k.device)) % size
        keys, scale = self._packed(k.float())
        self.keys[place] = keys
        if scale is not None and self.scale is not None:
            self.scale[place] = scale
        if self.groups is not None and self.owner is not None:
            self.owner[place] = self.groups[distributed.gather(index)].repeat_interleave(each)
        self.pointer.copy_((self.pointer + len(k)) % size)

    @torch.no_grad()
    def fill(self, keys: Tensor, pointer: int) -> None:
        """Hold these unit vectors (K x C); the next keys are written from row `pointer` on."""
        held, scale = self._packed(keys.float())
        self.keys.copy_(held)
        if scale is not None and self.scale is not None:
            self.scale.copy_(scale)
        if self.owner is not None:
            self.owner.fill_(-1)
        self.pointer.fill_(pointer)

    def _packed(self, keys: Tensor) -> tuple[Tensor, Tensor | None]:
        """Unit vectors (N x C) as they are kept, and what each is multiplied by when it is read (N)."""
        match self.store:
            case "fp32":
                return keys, None
            case "bf16":
                return keys.bfloat16(), None
            case "int8":
                scale = keys.abs().amax(dim=1).clamp_min(1e-12) / 127
                return (keys / scale[:, None]).round().to(torch.int8), scale

    def filled(self, keys_seen: int) -> float:
        """Share of the ring that holds keys of images."""
        return min(1.0, keys_seen / len(self.keys))


class TwoQueues(nn.Module):
    """A queue for each half of a step: of the keys of texts, which images ask, and of those of images."""

    def __init__(self, texts: KeyQueue, images: KeyQueue) -> None:
        super().__init__()
        self.texts, self.images = texts, images

    def filled(self, keys_seen: int) -> float:
        """Share of each ring that holds keys."""
        return self.texts.filled(keys_seen)


class BatchKeys(nn.Module):
    """The other images of the batch: their keys (v1, figure 2a), or both their views (NT-Xent, arXiv:2002.05709)."""

    groups: Tensor | None

    def __init__(self, both_views: bool, groups: Tensor | None = None) -> None:
        super().__init__()
        self.both_views = both_views
        self.register_buffer("groups", groups, persistent=False)

    def look_up(self, q: Tensor, k: Tensor, index: Tensor, step: int, first: int = 0) -> Contrast:
        """Contrast each query (n x C) with its key and the N - 1 keys, or 2N - 2 vectors, of other images.

        Where groups are known, with its P keys and those of images of other groups.
        """
        keys, own_keys = distributed.gather_with_gradient(k), _keys_of(q, k, index, first)
        if self.groups is not None:
            every = distributed.gather(self.groups[index])
            others = every.repeat_interleave(len(k) // len(index))
            if self.both_views:
                keys = torch.cat([keys, distributed.gather_with_gradient(q)])
                others = torch.cat([others, every])
            return Contrast(own_keys, keys, alike=Alike(self.groups[index[first : first + len(q)]], others))
        own = torch.zeros(len(q), len(keys), device=q.device)
        own.diagonal(distributed.first_row(len(k)) + first).fill_(-math.inf)
        if self.both_views:
            vectors = torch.cat([keys, distributed.gather_with_gradient(q)])
            return Contrast(own_keys, vectors, torch.cat([own, own], dim=1))
        return Contrast(own_keys, keys, own)

    def update(self, q: Tensor, k: Tensor, index: Tensor) -> None:
        """Nothing is kept."""

    def filled(self, keys_seen: int) -> float:
        """Always whole."""
        return 1.0


class MemoryBank(nn.Module):
    """One representation per image of the data set (InstDisc, arXiv:1805.01978; v1, section 3.2).

    The positive is the image's own entry. "The dictionary for each mini-batch is randomly sampled from the memory bank"
    (v1): `drawn` entries a step, uniformly, with replacement, from the whole bank, a query's own included; so a step
    takes as much memory as with a queue of that length, however many images there are. After the step an entry
    follows its query: w <- normalise(m w + (1 - m) q).
    """

    entries: Tensor

    def __init__(self, images: int, drawn: int, dim: int, m: float, seed: int, generator: torch.Generator) -> None:
        super().__init__()
        self.drawn = drawn
        self.m = m
        self.seed = seed
        self.register_buffer("entries", F.normalize(torch.randn(images, dim, generator=generator), dim=1))

    def look_up(self, q: Tensor, k: Tensor, index: Tensor, step: int, first: int = 0) -> Contrast:
        """Contrast each query (n x C) with its image's entry and `drawn` random entries, the same for the batch."""
        drawn = draw.integers(len(self.entries), self.seed, draw.stream("bank"), step, np.arange(self.drawn))
        return Contrast(self.entries[index[first : first + len(q)]], self.entries[beside(q, drawn)])

    @torch.no_grad()
    def update(self, q: Tensor, k: Tensor, index: Tensor) -> None:
        """Move the entries of these images (N), of all processes, towards their queries (N x C)."""
        q, index = distributed.gather(q), distributed.gather(index)
        moved = self.m * self.entries[index] + (1 - self.m) * q.detach().float()
        self.entries[index] = F.normalize(moved, dim=1)

    def filled(self, keys_seen: int) -> float:
        """Share of the bank that has been visited, in the first epoch."""
        return min(1.0, keys_seen / len(self.entries))


def _keys_of(q: Tensor, k: Tensor, index: Tensor, first: int) -> Tensor:
    """The keys of these queries: n x C, or n x P x C where each has several."""
    return k.reshape(len(index), -1, k.shape[1])[first : first + len(q)].squeeze(1)


def refuse_a_queue_larger_than_the_data(recipe: Recipe, images: int) -> None:
    """Raise MocoError where most images would find their own old key among their negatives."""
    if isinstance(recipe.dictionary, Queue) and recipe.dictionary.size >= images:
        raise MocoError(
            f"a dictionary of {recipe.dictionary.size} keys for {images} images would hold every image's own old key "
            "as a negative; lower --dictionary.size (the papers' queue holds 5 % of the data)"
            + (", or use the recipe auto" if images >= FEWEST_IMAGES else ", and give more images")
        )


def halves_of(
    dictionary: KeyQueue | BatchKeys | MemoryBank | TwoQueues,
) -> tuple[KeyQueue | BatchKeys | MemoryBank, KeyQueue | BatchKeys | MemoryBank]:
    """What the first and the second half of a step ask."""
    match dictionary:
        case TwoQueues(texts=texts, images=images):
            return texts, images
        case KeyQueue() | BatchKeys() | MemoryBank():
            return dictionary, dictionary


def build_dictionary(
    recipe: Recipe, images: int, generator: torch.Generator, groups: Tensor | None = None
) -> KeyQueue | BatchKeys | MemoryBank | TwoQueues:
    """The recipe's dictionary for a data set of so many images; raises MocoError where the queue is too large.

    `groups` is the group of each image, where it is known.
    """
    refuse_a_queue_larger_than_the_data(recipe, images)
    match recipe.dictionary:
        case Queue(size=size, store=store) if recipe.text is not None:
            both = (KeyQueue(size, recipe.encoder.dim, generator, store, groups) for _ in range(2))
            return TwoQueues(*both)
        case Queue(size=size, store=store):
            return KeyQueue(size, recipe.encoder.dim, generator, store, groups)
        case Batch(contrast=contrast):
            return BatchKeys(both_views=contrast == "both-views", groups=groups)
        case Bank(size=size, m=m):
            return MemoryBank(images, size, recipe.encoder.dim, m, recipe.seed, generator)
