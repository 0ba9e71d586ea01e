"""How many images each shard holds: from an index, from what lies beside the shards, or counted once and remembered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from moco.data.cache import cache_folder
from moco.data.shard_names import is_url
from moco.data.shard_store import Store
from moco.data.shard_table import indexed_count, read_table
from moco.data.source import Unreadable
from moco.errors import MocoError

_AT_ONCE = 16


def counted(paths: list[str], store: Store) -> list[int]:
    """The number of images in each shard.

    Looked for in this order: an .idx beside the shard, the `_stats.json` of img2dataset, the shard itself. Raises
    MocoError where a shard cannot be reached: how many images there are decides what each step contains.
    """
    remembered = cache_folder("shards") / f"counts-{_state(paths)}.json"
    try:
        found: list[int] = json.loads(remembered.read_text())
        if len(found) == len(paths):
            return found
    except (OSError, ValueError):
        pass
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        counts = list(pool.map(lambda path: _count(path, store), paths))
    with contextlib.suppress(OSError):  # a cache that cannot be written is done without
        remembered.parent.mkdir(parents=True, exist_ok=True)
        draft = remembered.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(counts))
        os.replace(draft, remembered)  # noqa: PTH105
    return counts


def _state(paths: list[str]) -> str:
    """What the counts are of: the names, and for files their size and time."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.encode("utf-8", "surrogateescape") + b"\0")
        if not is_url(path) and os.path.exists(path):  # noqa: PTH110
            stat = os.stat(path)  # noqa: PTH116
            digest.update(f"{stat.st_size} {stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:24]


def _count(path: str, store: Store) -> int:
    stem = path.removesuffix(".tar")
    if is_url(path):
        for beside, count in ((f"{stem}_stats.json", _stated), (f"{stem}.idx", indexed_count)):
            try:
                return count(store.small(beside))
            except (MocoError, ValueError, KeyError, TypeError):
                continue
    else:
        if not os.path.exists(path):  # noqa: PTH110
            raise MocoError(f"there is no shard {path}; name only shards that are there")
        for name, count in ((f"{stem}.idx", indexed_count), (f"{stem}_stats.json", _stated)):
            try:
                return count(Path(name).read_bytes())
            except (OSError, ValueError, KeyError, TypeError):
                continue
    try:
        return len(read_table(store.fetch(path) if is_url(path) else path).names)
    except Unreadable as error:
        raise MocoError(f"shard {path} cannot be counted: {error.reason}; repair it, or leave it out") from None


def _stated(text: bytes) -> int:
    return int(json.loads(text)["successes"])
