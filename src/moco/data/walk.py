"""The images below a folder: found once, remembered, and looked for again when a folder has changed.

Adding, removing or renaming a file changes the modification time of its folder, so that one `stat` a folder tells
whether a remembered list still holds: 2 seconds instead of a minute for a million files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from moco.data.cache import cache_folder
from moco.data.content import is_readable_start
from moco.data.names import is_image, is_litter, suffix_of, suffixes, with_arrays
from moco.errors import MocoError

_START = 512
"""Bytes of a file without an ending that are looked at."""

_SETTLED = 2_000_000_000
"""Nanoseconds. A folder that changed more recently could change again and keep the same time: it is not remembered."""


@dataclass(frozen=True)
class Found:
    """What lies below a folder."""

    names: list[str]
    """Images, relative to the folder, with forward slashes, sorted."""
    others: list[str]
    """Files that are not images, likewise."""
    times: dict[str, int]
    """Each folder visited, relative, and when it was last modified, in nanoseconds."""


def find_images(root: str) -> Found:
    """All images below `root` (an absolute path), from memory if no folder has changed since."""
    memory = cache_folder("index") / (hashlib.sha256(os.fsencode(root)).hexdigest()[:32] + ".index")
    if (found := _recall(memory, root)) is None:
        started = time.time_ns()
        found = walk(root)
        if found.names and max(found.times.values()) < started - _SETTLED:
            _remember(memory, root, found)
    return found


def walk(root: str) -> Found:
    """Look through every folder below `root`. Links are followed, but each real folder is visited once.

    Real folders come before links to folders, so that an image is listed where it lies, and a link that leads back
    ends there. A link that dangles, or leads to itself, is listed where it has the name of an image: a missing
    image should be heard of. Raises MocoError where a folder cannot be listed.
    """
    names: list[str] = []
    times: dict[str, int] = {}
    visited: set[tuple[int, int]] = set()
    others: list[str] = []
    folders, links = [""], list[str]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        path = root + "/" + folder
        try:
            status = os.stat(path)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            times[folder] = status.st_mtime_ns
            inner = list[str]()
            with os.scandir(path) as entries:
                for entry in entries:
                    if is_litter(entry.name):
                        continue
                    name = folder + entry.name
                    if _is_folder(entry):
                        (links if entry.is_symlink() else inner).append(name + "/")
                    else:
                        (names if _is_image(entry) else others).append(name)
        except OSError as error:
            raise MocoError(
                f"the folder {path} cannot be listed ({error.strerror}); make it readable, or move it out of the data"
            ) from None
        folders.extend(inner)
        links.sort()
    names, others = with_arrays(names, others)
    names.sort()
    others.sort()
    return Found(names, others, times)


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Whether its name says so, or where that says nothing, how it begins."""
    if is_image(entry.name):
        return entry.is_symlink() or entry.is_file()
    if suffix_of(entry.name):
        return False
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb") as file:  # noqa: PTH123
            return is_readable_start(file.read(_START))
    except OSError:
        return False


def _version() -> str:
    """What counts as an image, here and now."""
    return f"3 {' '.join(suffixes())}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _recall(memory: Path, root: str) -> Found | None:
    """What was remembered, if it can be read and every folder is as it was."""
    try:
        head, _, body = memory.read_bytes().partition(b"\n")
        facts = json.loads(head)
        if (facts["version"], facts["root"], facts["sum"]) != (_version(), root, zlib.crc32(body)):
            return None
        for folder, modified in facts["times"].items():
            if os.stat(root + "/" + folder).st_mtime_ns != modified:  # noqa: PTH116
                return None
        names = body.decode("utf-8", "surrogateescape").split("\0")
        images = int(facts["images"])
        return Found(names[:images], names[images:], facts["times"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _remember(memory: Path, root: str, found: Found) -> None:
    """Write the list, whole or not at all; a cache that cannot be written is done without."""
    body = "\0".join(found.names + found.others).encode("utf-8", "surrogateescape")
    facts = {"version": _version(), "root": root, "sum": zlib.crc32(body), "times": found.times}
    facts |= {"images": len(found.names)}
    draft = memory.with_suffix(f".{os.getpid()}")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(json.dumps(facts).encode() + b"\n" + body)
        os.replace(draft, memory)  # noqa: PTH105
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
