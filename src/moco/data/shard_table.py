"""Where the images of one shard lie: read from its tar headers, or from the .idx beside it.

The .idx is the one of NVIDIA DALI (wds2idx, version 1.2): a line with the number of samples, then for each sample
`extension offset size name` of each of its files.
"""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moco.data.archive import tar_members
from moco.data.names import is_image, is_litter
from moco.data.source import Unreadable, file_bytes

_VERSION = "v1.2"
Component = tuple[str, int, int]
"""Name in the tar, offset of its bytes, how many they are."""


@dataclass(frozen=True)
class Table:
    """The images of a shard, in its order; offsets and sizes of the image, its .json, .cls and .txt (-1: none)."""

    names: list[str]
    spans: NDArray[np.int64]
    """N x 4 x 2."""
    broken: str = ""
    """Why the shard could not be read to its end."""

    def read(self, path: str, k: int, part: int = 0) -> bytes:
        """The bytes of image k, or of its .json (1), .cls (2) or .txt (3); raises Unreadable."""
        offset, size = (int(number) for number in self.spans[k, part])
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise Unreadable(f"the shard cannot be read: {error.strerror or error}") from None
        if len(data) != size:
            raise Unreadable("the shard ends before this image does")
        return data

    def label(self, path: str, k: int) -> str | None:
        """`label` of the .json, or what the .cls says."""
        if self.spans[k, 1, 0] >= 0:
            try:
                stated = json.loads(self.read(path, k, 1))
            except ValueError:
                stated = None
            if isinstance(stated, dict) and isinstance(label := stated.get("label"), str | int):
                return str(label)
        if self.spans[k, 2, 0] >= 0:
            return self.read(path, k, 2).decode("utf-8", "replace").strip() or None
        return None

    def caption(self, path: str, k: int) -> bytes:
        """The .txt of image k, or else its .json; empty where it has neither."""
        part = next((part for part in (3, 1) if self.spans[k, part, 0] >= 0), None)
        return b"" if part is None else self.read(path, k, part)


def read_table(path: str, keep: bool = False) -> Table:
    """The table of a shard on this machine, from the .idx beside it where that is not older; raises Unreadable.

    `keep` writes the .idx where there is none.
    """
    index = Path(path).with_suffix(".idx")
    try:
        if index.exists() and index.stat().st_mtime_ns >= os.stat(path).st_mtime_ns:  # noqa: PTH116
            return _table(_from_index(file_bytes(str(index)).decode()))
    except (ValueError, OSError, Unreadable):
        pass  # the tar itself says it better
    samples, broken = scan(path)
    if keep and not broken and (content := index_bytes(samples)):
        with contextlib.suppress(OSError):  # it only saves time
            draft = index.with_suffix(f".{os.getpid()}")
            draft.write_bytes(content)
            os.replace(draft, index)  # noqa: PTH105
    return _table(samples, broken)


def scan(path: str) -> tuple[list[list[Component]], str]:
    """The samples of a tar, each with its files, and why reading stopped early; raises Unreadable without a start."""
    samples: dict[str, list[Component]] = {}
    broken = ""
    try:
        for name, offset, size, _, _ in tar_members(path):
            if not any(is_litter(part) for part in name.split("/")):
                samples.setdefault(_key(name), []).append((name, offset, size))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        broken = f"the shard is broken or cut short ({error})"
        if not samples:
            raise Unreadable(broken) from None
    return [files for files in samples.values() if any(is_image(name) for name, _, _ in files)], broken


def index_bytes(samples: list[list[Component]]) -> bytes:
    """The .idx of these samples, as bytes; empty where a name has a space in it, which the format cannot say."""
    if any(" " in name for files in samples for name, _, _ in files):
        return b""
    lines = [" ".join(f"{_suffix(name)} {offset} {size} {name}" for name, offset, size in files) for files in samples]
    return "\n".join([f"{_VERSION} {len(samples)}", *lines, ""]).encode()


def indexed_count(head: bytes) -> int:
    """The number of samples that the start of an .idx states; raises ValueError."""
    version, count = head.split(b"\n", 1)[0].decode().split()
    if version != _VERSION:
        raise ValueError(version)
    return int(count)


def _from_index(text: str) -> list[list[Component]]:
    first, *lines = text.splitlines()
    if len(lines) != indexed_count(first.encode()):
        raise ValueError("the .idx is cut short")
    samples = []
    for line in lines:
        words = line.split(" ")
        samples.append([(words[i + 3], int(words[i + 1]), int(words[i + 2])) for i in range(0, len(words), 4)])
    return samples


def _table(samples: list[list[Component]], broken: str = "") -> Table:
    names, spans = [], np.full((len(samples), 4, 2), -1, dtype=np.int64)
    for row, files in enumerate(samples):
        for name, offset, size in reversed(files):  # of several images of a sample, the first
            part = 0 if is_image(name) else {"json": 1, "cls": 2, "txt": 3}.get(_suffix(name))
            if part is not None:
                spans[row, part] = offset, size
            if part == 0:
                shown = name
        names.append(shown)
    return Table(names, spans, broken)


def _key(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _suffix(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2].lower()
