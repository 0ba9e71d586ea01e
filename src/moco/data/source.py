"""What a source of images is: images by position, in a fixed order.

A source is opened once, pickled to worker processes and asked for single images there, so it holds names and
numbers, and no open file.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from moco.data.opened import Opened


class Unreadable(Exception):  # noqa: N818
    """One image that cannot be read; `reason` says why in plain words. The other images are not concerned.

    Where those right behind it are (its whole shard cannot be reached), `beyond` is the first that is not.
    """

    def __init__(self, reason: str, beyond: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.beyond = beyond


@dataclass(frozen=True)
class Hints:
    """What a source knows about how to learn from it; only `demo` sets any."""

    views: str | None = None
    """The name of a set of views."""
    steps: int | None = None
    """A sensible number of steps to train for."""


class Source(Protocol):
    """Images by position, in a fixed order: what `--data` names."""

    @property
    def description(self) -> str:
        """What this is, in a few words: "folder photos, 1,797 images"."""

    @property
    def hints(self) -> Hints:
        """What is known about how to learn from these images."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """What to call image i to a person: a path, a member, "row 17"."""

    def raw(self, i: int) -> bytes | NDArray[np.uint8] | Opened:
        """The encoded file, or its pixels (H x W x 3), or what was opened already; raises Unreadable."""

    def label(self, i: int) -> str | None:
        """The class of image i where the layout states one."""


@runtime_checkable
class Sharded(Protocol):
    """What a source of many images in few files can say besides, so that nothing looks at each image or file."""

    @property
    def any_order(self) -> bool:
        """Whether any image is as near as any other."""

    def order(self, seed: int, epoch: int, positions: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
        """The image at each position of an epoch that is read in steps of `batch`."""

    def expect(self, index: NDArray[np.int64]) -> None:
        """These images will be asked for soon."""

    def sample(self, n: int) -> NDArray[np.int64]:
        """Up to n images that are cheap to look at."""

    def identity(self) -> str:
        """What these images are, without reading them."""


def read_in_any_order(source: Source) -> bool:
    """Whether any image is as near as any other, so that files can be looked into before they are needed."""
    return not isinstance(source, Sharded) or source.any_order


def native(source: Source, i: int) -> Any:
    """What is there for image i, in its own bands and type: a file as `raw` has it, or an array; raises Unreadable."""
    return getattr(source, "native", source.raw)(i)


def sample(source: Source, n: int) -> NDArray[np.int64]:
    """Up to n images, evenly spread over the source where that costs nothing."""
    if isinstance(source, Sharded):
        return source.sample(n)
    return np.unique(np.linspace(0, len(source) - 1, min(n, len(source))).round().astype(np.int64))


def fingerprint(source: Source) -> str:
    """SHA-256 over how many images there are, what they are called, and what 16 of them hold: has the set changed?"""
    if isinstance(source, Sharded):
        return source.identity()
    digest = hashlib.sha256(str(len(source)).encode())
    for i in range(len(source)):
        digest.update(b"\0" + source.name(i).encode("utf-8", "surrogateescape"))
    for i in np.unique(np.linspace(0, len(source) - 1, min(16, len(source))).astype(np.int64)):
        try:
            raw = _start_of_large(source, int(i)) or _bytes_of(source.raw(int(i)))
        except Unreadable as error:
            raw = _bytes_or(source, int(i), error.reason)
        digest.update(raw)
    return digest.hexdigest()


_LARGE = 256 << 20


def _start_of_large(source: Source, i: int) -> bytes:
    """Of a file too large to be read for its fingerprint, its size and its first megabyte; else nothing."""
    try:
        path = source.file_path(i)  # type: ignore[attr-defined]
        size = os.stat(path).st_size  # noqa: PTH116
        if size < _LARGE:
            return b""
        with open(path, "rb") as file:  # noqa: PTH123
            return str(size).encode() + file.read(1 << 20)
    except (AttributeError, OSError, ValueError):
        return b""


def _bytes_of(raw: Any) -> bytes:
    return raw if isinstance(raw, bytes) else np.ascontiguousarray(raw).tobytes()


def _bytes_or(source: Source, i: int, reason: str) -> bytes:
    """The bytes of an array that is no photograph, or why image i cannot be read."""
    try:
        raw = native(source, i)
    except Unreadable:
        return reason.encode()
    return reason.encode() if isinstance(raw, bytes) else _bytes_of(raw)


def file_bytes(path: str) -> bytes:
    """The contents of a file; raises Unreadable in plain words."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  (a Path object for each image costs more than it says)
            return file.read()
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except PermissionError:
        raise Unreadable("permission denied") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from None
