"""The shards that a pattern names: `data/{000000..012345}.tar`, `s3://bucket/*.tar`, or a wids index (JSON)."""

from __future__ import annotations

import itertools
import json
import os
import re
from dataclasses import dataclass
from glob import glob, has_magic
from typing import Any

from moco.data.names import printable
from moco.errors import MocoError

INDEX = "index.json"
"""The list of shards with their numbers of samples that `moco pack` writes, in the format of the wids library."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True)
class Named:
    """The shards, in the order in which they are named, and how many images each holds where an index says so."""

    paths: list[str]
    counts: list[int] | None = None


def is_url(path: str) -> bool:
    """Whether this is to be fetched, rather than a path on this machine."""
    return "://" in path and not path.startswith("file://")


def names_shards(data: str) -> bool:
    """Whether `--data` names shards: a pattern or URL of .tar files, an index, or a folder with an index."""
    if is_url(data):
        return True
    if data.endswith(".tar"):
        return bool(_BRACES.search(data) or has_magic(data)) and not os.path.exists(data)  # noqa: PTH110
    return _is_index(data if data.endswith(".json") else os.path.join(data, INDEX))  # noqa: PTH118


def named_shards(data: str) -> Named:
    """The shards that `data` names; raises MocoError where there are none."""
    if data.endswith(".json"):
        return _from_index(data)
    if not data.endswith(".tar"):
        return _from_index(data.rstrip("/") + "/" + INDEX)
    paths = [path for part in expand(data) for path in _globbed(part)]
    if not paths:
        raise MocoError(f"--data {printable(data)}: no shard has such a name; check the path")
    return Named(paths)


def expand(pattern: str) -> list[str]:
    """Braces as a shell expands them: `{000..012}` with its leading zeros, and `{train,val}`."""
    pieces = _BRACES.split(pattern)
    return ["".join(choice) for choice in itertools.product(*map(_choices, range(len(pieces)), pieces))]


def _choices(position: int, piece: str) -> list[str]:
    if position % 2 == 0:
        return [piece]
    if found := _RANGE.fullmatch(piece):
        first, last = found.groups()
        step = 1 if int(first) <= int(last) else -1
        return [str(n).zfill(len(first)) for n in range(int(first), int(last) + step, step)]
    return piece.split(",")


def _globbed(path: str) -> list[str]:
    if not has_magic(path) or os.path.exists(path):  # noqa: PTH110
        return [path]
    if not is_url(path):
        return sorted(glob(path))  # noqa: PTH207
    from moco.data.shard_store import file_system

    system, inside = file_system(path)
    try:
        return sorted(system.unstrip_protocol(found) for found in system.glob(inside))
    except Exception as error:  # each store raises errors of its own library
        raise MocoError(f"--data {path}: the shards cannot be listed ({error})") from None


def _is_index(path: str) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return b'"wids_version"' in file.read(4096)
    except (OSError, ValueError):
        return False


def _from_index(path: str) -> Named:
    try:
        index = json.loads(_read(path))
        shards: list[dict[str, Any]] = index["shardlist"]
        if len(shards) == 0:
            raise MocoError(f"--data {path}: this index lists no shards")
        folder = path.rpartition("/")[0]
        paths = [s["url"] if is_url(s["url"]) or not folder else f"{folder}/{s['url']}" for s in shards]
        return Named(paths, [int(s["nsamples"]) for s in shards])
    except (ValueError, KeyError, TypeError) as error:
        raise MocoError(
            f"--data {path}: this is no index of shards ({type(error).__name__}: {error}); an index is JSON with "
            '{"wids_version": 1, "shardlist": [{"url": ..., "nsamples": ...}]}'
        ) from None


def _read(path: str) -> bytes:
    if is_url(path):
        from moco.data.shard_store import Store

        return Store().small(path)
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()
