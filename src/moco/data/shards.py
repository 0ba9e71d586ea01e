"""WebDataset tar shards, here or behind a URL: images by position, read in an order that suits shards."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from moco.data.names import number_of, printable
from moco.data.shard_counts import counted
from moco.data.shard_names import is_url, named_shards
from moco.data.shard_order import ShardOrder
from moco.data.shard_store import Store
from moco.data.shard_table import Table, read_table
from moco.data.source import Hints, Unreadable
from moco.errors import MocoError

_TABLES = 64
"""Shards whose table of contents a process keeps; a table is a few hundred bytes an image."""

_SAMPLED = 4
"""Fetched shards that a look at the images may ask for."""


class Shards:
    """The images of tar shards, in the order of the shards. A process holds the names of the shards and their sizes."""

    hints = Hints()

    def __init__(self, data: str, store: Store | None = None) -> None:
        self.store = store or Store()
        named = named_shards(data)
        self.paths = named.paths
        self.remote = any(is_url(path) for path in self.paths)
        counts = named.counts or counted(self.paths, self.store)
        self.walk = ShardOrder(np.array(counts, dtype=np.int64))
        if len(self) == 0:
            raise MocoError(f"--data {printable(data)}: these {len(self.paths):,} shards hold no images")
        self.any_order = not self.remote and all(_indexed(path) for path in (self.paths[0], self.paths[-1]))
        """Offsets and a local disk: any image is one seek away, so the order is that of a folder."""
        self.description = f"{number_of(len(self.paths), 'shard')} {printable(data)}, {number_of(len(self), 'image')}"
        self._forget()

    def _forget(self) -> None:
        self._tables: OrderedDict[int, Table] = OrderedDict()
        self._lock = threading.Lock()
        self._coming: set[int] = set()

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_tables", "_lock", "_coming")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __len__(self) -> int:
        return int(self.walk.first[-1])

    def place(self, i: int) -> tuple[int, int]:
        """The shard of image i, and its position in it."""
        shard = int(np.searchsorted(self.walk.first, i, side="right")) - 1
        return shard, i - int(self.walk.first[shard])

    def name(self, i: int) -> str:
        """Shard and member; of a shard that would have to be fetched, the position."""
        shard, k = self.place(i)
        path = printable(self.paths[shard])
        if is_url(self.paths[shard]):
            return f"{path}, image {k}"
        try:
            return f"{path}/{printable(self._table(shard)[1].names[k])}"
        except (Unreadable, IndexError):
            return f"{path}, image {k}"

    def raw(self, i: int) -> bytes:
        """The image file as it was packed; raises Unreadable."""
        shard, k = self.place(i)
        path, table = self._found(shard, k)
        try:
            return table.read(path, k)
        except Unreadable:
            if not is_url(self.paths[shard]) or os.path.exists(path):  # noqa: PTH110
                raise
        path, table = self._found(shard, k)  # it was evicted in between
        return table.read(path, k)

    def label(self, i: int) -> str | None:
        """What the .json (`label`) or the .cls beside the image says."""
        shard, k = self.place(i)
        try:
            path, table = self._found(shard, k)
            return table.label(path, k)
        except Unreadable:
            return None

    def caption(self, i: int) -> bytes:
        """The .txt or .json beside the image; empty where there is none, or the shard cannot be read."""
        shard, k = self.place(i)
        try:
            path, table = self._found(shard, k)
            return table.caption(path, k)
        except Unreadable:
            return b""

    def order(self, seed: int, epoch: int, positions: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
        """The image at each position of an epoch that is read in steps of `batch`."""
        return self.walk(seed, epoch, positions, batch)

    def expect(self, index: NDArray[np.int64]) -> None:
        """Fetch the shards of these images in the background; what fails is told when an image is read."""
        for shard in np.unique(np.searchsorted(self.walk.first, index, side="right") - 1).tolist():
            url = self.paths[shard]
            if is_url(url) and shard not in self._coming and not self.store.place(url).exists():
                self._coming.add(shard)
                threading.Thread(target=self._bring, args=(shard,), daemon=True).start()

    def _bring(self, shard: int) -> None:
        try:
            self.store.fetch(self.paths[shard])
        except (Unreadable, MocoError, OSError):
            pass
        finally:
            self._coming.discard(shard)

    def sample(self, n: int) -> NDArray[np.int64]:
        """Up to n images to look at, spread over all shards; over a few only, where shards must be fetched."""
        if not self.remote or len(self.paths) <= _SAMPLED:
            return np.unique(np.linspace(0, len(self) - 1, min(n, len(self))).round().astype(np.int64))
        full = np.flatnonzero(self.walk.counts)
        some = np.unique(full[np.linspace(0, len(full) - 1, min(_SAMPLED, len(full))).round().astype(np.int64)])
        each = [
            self.walk.first[s] + np.linspace(0, c - 1, min(c, -(-n // len(some)))).round().astype(np.int64)
            for s, c in zip(some, self.walk.counts[some], strict=True)
        ]
        return np.unique(np.concatenate(each))[:n]

    def identity(self) -> str:
        """What these images are, without reading them: the names of the shards, their sizes, the kind of order."""
        digest = hashlib.sha256(f"shards {self.any_order}".encode())
        for path, count in zip(self.paths, self.walk.counts.tolist(), strict=True):
            digest.update(f"{path.rpartition('/')[2]}\0{count}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _found(self, shard: int, k: int) -> tuple[str, Table]:
        """The path and table of the shard that holds image k; raises Unreadable."""
        try:
            path, table = self._table(shard)
        except Unreadable as error:  # no use in asking for the other images of it
            raise Unreadable(error.reason, beyond=int(self.walk.first[shard + 1])) from None
        if k >= len(table.names):
            raise Unreadable(
                table.broken or f"the shard holds {len(table.names)} images, its index says {self.walk.counts[shard]}",
                beyond=int(self.walk.first[shard + 1]),
            )
        return path, table

    def _table(self, shard: int) -> tuple[str, Table]:
        url = self.paths[shard]
        path = self.store.fetch(url) if is_url(url) else url
        with self._lock:
            if (table := self._tables.get(shard)) is not None:
                self._tables.move_to_end(shard)
                return path, table
        table = read_table(path, keep=is_url(url))
        with self._lock:
            self._tables[shard] = table
            while len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
        return path, table


def _indexed(path: str) -> bool:
    return os.path.exists(path.removesuffix(".tar") + ".idx")  # noqa: PTH110
