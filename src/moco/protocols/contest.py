"""Contenders, the images they learn from and are judged by, and where it is computed: what a protocol gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from moco.data.labelled import Labelled, some
from moco.data.loader import Loader, MemoryLoader, WorkerLoader
from moco.data.memory import Memory, load_memory
from moco.data.seen import seen
from moco.data.source import Source
from moco.data.survey import survey
from moco.device import Placement
from moco.embed import Prepared, embed
from moco.errors import MocoError
from moco.machine import Machine
from moco.ops.whiten import whitened
from moco.protocols.contender import Contender
from moco.protocols.result import Result
from moco.recipe import Pixels
from moco.run.load import Kind
from moco.two_views import Views

_MOST_BYTES = 16 << 30
"""Of features that are kept for the next protocol."""


@dataclass(frozen=True)
class Features:
    """Features (N x D) and labels (N) of images whose classes are known."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    def at(self, rows: NDArray[np.int64]) -> Features:
        """Those of the images at `rows`."""
        return Features(self.features[rows], self.labels[rows])


class Judge(Protocol):
    """A protocol: a frozen dataclass of its settings, and what it does with contenders.

    Started by torchrun, all processes call `judge` and must come to the same result.
    """

    name: ClassVar[str]
    prefix: ClassVar[str]
    """Of its flags: --<prefix>-<field>."""
    needs_labels: ClassVar[bool]

    def judge(self, contest: Contest) -> Result:
        """A table with a row for each contender."""
        ...


class Contest:
    """Contenders, images, and the features the ones make of the others, each computed once and kept."""

    def __init__(
        self,
        contenders: list[Contender],
        images: Source | None,
        data: str,
        parts: tuple[Labelled, Labelled] | None,
        machine: Machine,
        placement: Placement,
        note: Callable[[str], None],
    ) -> None:
        self.contenders, self.data = contenders, data
        self._images_alone, self._parts = images, parts
        self.machine, self.placement, self.note = machine, placement, note
        self._prepared: dict[tuple[int, int, Pixels | None], Prepared] = {}
        self._features: dict[tuple[str, int, Kind], NDArray[np.float32]] = {}
        self._readable: dict[int, Labelled] = {}
        self._told: set[int] = set()
        self._memory: dict[tuple[int, Pixels | None], tuple[Source, Memory | None]] = {}

    @property
    def images(self) -> Source:
        """All images, whether or not they have classes; for protocols that need none."""
        assert self._images_alone is not None
        return self._images_alone

    @property
    def train(self) -> Labelled:
        """What may be learnt from."""
        assert self._parts is not None
        return self._parts[0]

    @property
    def test(self) -> Labelled:
        """What is judged; its classes are those of `train`, by number."""
        assert self._parts is not None
        return self._parts[1]

    def features(self, contender: Contender, side: Labelled, kind: Kind = "backbone") -> Features:
        """What a contender makes of the readable images of `train` or `test`; with several processes, call it on all.

        Of a contender without a head, `head` are its features; `whitened` by what `train` holds.
        """
        if kind == "whitened":
            plain, known = (self.features(contender, one) for one in (side, self.train))
            moved = whitened(torch.from_numpy(plain.features), torch.from_numpy(known.features))
            return Features(moved.numpy(), plain.labels)
        images = self._images(contender, side.source)
        module = contender.module if kind == "backbone" or contender.whole is None else contender.whole
        key = (contender.name, id(side), kind if module is contender.whole else "backbone")
        if key not in self._features:
            made = embed(self.placement.put(module), images, contender.preprocess.normalise, self.placement).numpy()
            if not np.isfinite(made).all():
                raise MocoError(f"{contender.name} gives features that are not finite; is it trained?")
            if images.left_out and id(side) not in self._told:
                self.note(images.left_out)
                self._told.add(id(side))
            self._features[key] = made
            while sum(kept.nbytes for kept in self._features.values()) > _MOST_BYTES and len(self._features) > 2:
                del self._features[next(iter(self._features))]  # the oldest; made again where it is asked for
        return Features(self._features[key], side.labels[images.index])

    def readable(self, side: Labelled) -> Labelled:
        """Only those images of `train` or `test` that can be read."""
        if id(side) not in self._readable:
            first = self.contenders[0]
            self.features(first, side)
            self._readable[id(side)] = some(side, self._images(first, side.source).index)
        return self._readable[id(side)]

    def loader(self, side: Labelled, views: Views) -> Loader:
        """Batches of the images of `side`: from memory where they are small and fit, else from workers."""
        key, source = (id(side.source), views.pixels), seen(side.source, views.pixels)
        if key not in self._memory:
            found = survey(side.source)
            if views.pixels is not None:
                found = replace(found, pixel_bytes=views.pixels.bytes)
            fits = found.fits_in_memory(self.machine.memory_gib, self.placement.device.type)
            memory = load_memory(source, self.machine.decoders)[0] if fits else None
            self._memory[key] = side.source, memory
        _, memory = self._memory[key]
        return MemoryLoader(memory) if memory is not None else WorkerLoader(source, views, self.machine.decoders)

    def _images(self, contender: Contender, source: Source) -> Prepared:
        preprocess = contender.preprocess
        key = id(source), preprocess.size, preprocess.pixels
        if key not in self._prepared:
            images = seen(source, preprocess.pixels)
            self._prepared[key] = Prepared(images, preprocess.centre, self.machine.decoders, together=True)
        return self._prepared[key]
