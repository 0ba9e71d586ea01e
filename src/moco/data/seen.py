"""A source whose images are of the bands, type and range that were decided for the whole data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.data.native import open_native
from moco.data.opened import Header, Opened
from moco.data.source import Hints, Sharded, Source, Unreadable, native
from moco.data.values import Facts, Native, Values, shown_as_told
from moco.recipe.pixels import Pixels

_MOST = {"uint8": 255.0, "uint16": 65535.0}


def seen(source: Source, pixels: Pixels | None) -> Source:
    """The source with images H x W x C as `pixels` says; the source itself for photographs."""
    if pixels is None:
        return source
    return _SeenShards(source, pixels) if isinstance(source, Sharded) else Seen(source, pixels)


class Seen:
    """Images by position, opened as `pixels` says."""

    def __init__(self, source: Source, pixels: Pixels) -> None:
        self.source, self.pixels = source, pixels
        self.beyond: set[int] = set()
        """Images that this process has found to lie beyond the range in part."""

    @property
    def description(self) -> str:
        """That of the source."""
        return self.source.description

    @property
    def hints(self) -> Hints:
        """Those of the source."""
        return self.source.hints

    def __len__(self) -> int:
        return len(self.source)

    def name(self, i: int) -> str:
        """The name in the source."""
        return self.source.name(i)

    def raw(self, i: int) -> Opened:
        """The image with its header read; raises Unreadable where it differs from the data set."""
        opened = as_shown(open_native(native(self.source, i)), self.pixels)
        return _Seen(opened, self.pixels, lambda: self.beyond.add(i))

    def native(self, i: int) -> Any:
        """What the source has."""
        return native(self.source, i)

    def label(self, i: int) -> str | None:
        """The class in the source."""
        return self.source.label(i)


class _SeenShards(Seen):
    """The same of shards, which say besides in what order they are read best."""

    source: Any

    @property
    def any_order(self) -> bool:
        """As the source says."""
        return bool(self.source.any_order)

    def order(self, seed: int, epoch: int, positions: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
        """As the source says."""
        found: NDArray[np.int64] = self.source.order(seed, epoch, positions, batch)
        return found

    def expect(self, index: NDArray[np.int64]) -> None:
        """Tell the source."""
        self.source.expect(index)

    def sample(self, n: int) -> NDArray[np.int64]:
        """As the source says."""
        found: NDArray[np.int64] = self.source.sample(n)
        return found

    def identity(self) -> str:
        """As the source says."""
        return str(self.source.identity())


def open_seen(raw: Any, pixels: Pixels) -> Opened:
    """What `native` gives, opened as the data set is; raises Unreadable where it differs."""
    return _Seen(as_shown(open_native(raw), pixels), pixels)


def as_shown(image: Native, pixels: Pixels) -> Native:
    """The image; where the data set is read so, as its file says to show it."""
    return shown_as_told(image) if pixels.shown else image


class _Seen:
    """An opened image of a data set."""

    def __init__(self, image: Native, pixels: Pixels, is_beyond: Callable[[], None] | None = None) -> None:
        self._image, self._pixels, self._is_beyond = image, pixels, is_beyond
        facts = image.facts
        refuse_other_bands(facts, pixels)
        self.header = Header(facts.width, facts.height, f"{facts.bands} x {facts.type}")

    def pixels(self, reduction: int = 1) -> tuple[Values, int]:
        """H x W x C of the data set's type, and one over the share of their size that they were read at.

        They may lie in the file as it was read, and then cannot be written to.
        """
        values = self._image.values(0, reduction)
        own = as_decided(values, self._image.facts, self._pixels)
        if self._is_beyond is not None and share_beyond(own, self._pixels) > MOST_BEYOND:
            self._is_beyond()
        return own, -(-self.header.width // values.shape[1])


def refuse_other_bands(facts: Facts, pixels: Pixels) -> None:
    """Raise Unreadable where a file has other bands than the data set, and is not to be seen as a picture."""
    if pixels.colour == "bands" and facts.bands != pixels.of and not (pixels.of == 1 and facts.bands == 3):
        raise Unreadable(f"{_bands(facts.bands)}, and files of this data set have {pixels.of}; --bands chooses others")
    if pixels.colour != "bands" and not facts.colour and facts.bands not in (3, pixels.of):
        raise Unreadable(f"{_bands(facts.bands)}, which is no picture in colour or gray; --bands 0,1,2 chooses some")
    if (facts.type in _MOST) != (pixels.kind in _MOST) and {facts.type, pixels.kind} != {"int16", "float32"}:
        raise Unreadable(f"values of type {facts.type}, and those of this data set are {pixels.kind}")


def as_decided(values: Values, facts: Facts, pixels: Pixels) -> Values:
    """Values H x W x C of a file in the channels and the type of the data set; raises Unreadable where they differ."""
    values = filled(chosen(values, facts, pixels), pixels)
    return _by_itself(values, pixels) if pixels.own_range else values


def chosen(values: Values, facts: Facts, pixels: Pixels) -> Values:
    """The same before anything is filled or stretched."""
    return _scaled(_channels(values, pixels), facts, pixels)


def _channels(values: Values, pixels: Pixels) -> Values:
    bands = values.shape[2]
    if pixels.colour == "gray":
        own = bands == pixels.of and len(pixels.bands) > 1  # with more bands than colours
        return values if bands == 1 else gray(values[..., list(pixels.bands)] if own else values)
    if pixels.colour == "rgb":
        return np.repeat(values, 3, axis=2) if bands == 1 else values[..., :3]
    if bands == pixels.of:
        return values if pixels.bands == tuple(range(bands)) else values[..., list(pixels.bands)]
    if (values == values[..., :1]).all():
        return values[..., :1]
    raise Unreadable("3 bands in colour, and files of this data set have 1; --bands gray or --bands rgb takes both")


def gray(values: Values) -> Values:
    """H x W x 1: the mean of the colours, rounded where values are whole. No colour counts for more than another."""
    mean = values.mean(axis=2, keepdims=True, dtype=np.float32)
    return _as(mean, values.dtype)


def _as(values: Values, kind: str | np.dtype[Any]) -> Values:
    """Real numbers in this type, rounded where it is of whole ones."""
    dtype = np.dtype(kind)
    return np.asarray(values if dtype.kind == "f" else np.rint(values)).astype(dtype)


def _scaled(values: Values, facts: Facts, pixels: Pixels) -> Values:
    """In the type of the data set: unsigned values of another depth by their share of white, others as they are."""
    if values.dtype == pixels.kind:
        return values
    if pixels.kind in _MOST:
        white = facts.white or _MOST[facts.type]
        share = np.asarray(pixels.white, np.float32) / np.float32(white)
        return _as(np.minimum(values * share, np.float32(_MOST[pixels.kind])), pixels.kind)
    if pixels.kind == "int16":
        limits = np.iinfo(np.int16)
        return _as(np.clip(np.nan_to_num(values), limits.min, limits.max), "int16")
    return _as(values, "float32")


MOST_BEYOND = 0.01
"""Share of an image's values that may lie beyond the range without a word: percentiles leave out less."""


def share_beyond(values: Values, pixels: Pixels) -> float:
    """Share of the values of an image (H x W x C) that are darker than black or lighter than white, and so clipped."""
    black, white = np.asarray(pixels.black), np.asarray(pixels.white)
    if pixels.kind == "uint8" and black.max() <= 0 and white.min() >= 255:
        return 0.0
    if (values.min(axis=(0, 1)) >= black).all() and (values.max(axis=(0, 1)) <= white).all():
        return 0.0
    return float(((values < black) | (values > white)).mean())


def invalid(values: Values, no_data: float | None) -> NDArray[np.bool_] | None:
    """Where nothing was measured: values that are not finite, or stand for that; None where there are none."""
    bad = ~np.isfinite(values) if values.dtype.kind == "f" else None
    if no_data is not None and _fits(no_data, values.dtype):
        same = values == values.dtype.type(no_data)
        bad = same if bad is None else bad | same
    return np.asarray(bad) if bad is not None and bad.any() else None


def _fits(number: float, dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or (number == int(number) and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max)


def filled(values: Values, pixels: Pixels) -> Values:
    """Values with black where nothing was measured."""
    if (bad := invalid(values, pixels.no_data)) is None:
        return values
    return np.where(bad, np.asarray(pixels.black).astype(values.dtype), values)


def _by_itself(values: Values, pixels: Pixels) -> Values:
    """Each channel from the image's own darkest to its own brightest value, as if these were black and white."""
    low, high = (f(axis=(0, 1)).astype(np.float32) for f in (values.min, values.max))
    black, white = np.asarray(pixels.black, np.float32), np.asarray(pixels.white, np.float32)
    stretched = black + (values - low) * ((white - black) / np.maximum(high - low, np.float32(1e-20)))
    return _as(stretched, values.dtype)


def _bands(count: int) -> str:
    return f"{count} band{'s' * (count != 1)}"
