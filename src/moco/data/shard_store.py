"""Shards from elsewhere: fetched whole to a folder on this machine, asked for again when that fails, evicted when full.

A shard is the unit that object stores serve best. One process of the machine fetches it and all read it, so neither
workers nor processes decide what is fetched, and an image can be read at any place in it: that is what makes resuming
exact.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from moco.data.cache import cache_folder
from moco.data.source import Unreadable
from moco.errors import MocoError

_T = TypeVar("_T")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_FAILED_FOR = 300.0
"""Seconds for which a shard that could not be fetched is not asked for again."""


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system behind a URL, and the path in it; raises MocoError where it cannot be opened."""
    import fsspec

    try:
        system, inside = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise MocoError(
            f"{url} needs a package that is not installed ({error}); pip install 'momentum-contrast[remote]'"
        ) from None
    except ValueError as error:
        raise MocoError(f"{url}: {error}; read are local paths and what fsspec opens (s3://, gs://, http://)") from None
    return system, str(inside)


@dataclass(frozen=True)
class Store:
    """Where fetched shards are kept, how much of them, and how long an unreachable one is asked for."""

    gib: float = 32.0
    seconds: float = 60.0

    def fetch(self, url: str) -> str:
        """A path on this machine with the contents of `url`; raises Unreadable once the time for trying is over."""
        path = self.place(url)
        if _touched(path):
            return str(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        failed = path.with_suffix(".failed")
        with _locked(path.with_suffix(".lock")):
            if _touched(path):  # another process has fetched it
                return str(path)
            if (age := _age(failed)) is not None and age < _FAILED_FOR:
                raise Unreadable(failed.read_text())
            try:
                _with_patience(lambda: _download(url, path), self.seconds)
            except Unreadable as error:
                failed.write_text(error.reason)
                raise
            failed.unlink(missing_ok=True)
        self._evict(path)
        return str(path)

    def small(self, url: str) -> bytes:
        """The contents of a small file; raises MocoError where it is not there or cannot be reached."""
        try:
            return _with_patience(lambda: _contents(url), self.seconds)
        except Unreadable as error:
            raise MocoError(f"{url}: {error.reason}") from None

    def place(self, url: str) -> Path:
        """Where the shard is kept once it is here."""
        return cache_folder("shards") / f"{hashlib.sha256(url.encode()).hexdigest()[:24]}.tar"

    def _evict(self, kept: Path) -> None:
        """Remove the shards that were used longest ago, down to the size that is allowed; never the newest."""
        found = []
        for path in kept.parent.glob("*.tar"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_atime, path.stat().st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.gib * 2**30:
                break
            if path != kept:
                path.unlink(missing_ok=True)
                path.with_suffix(".idx").unlink(missing_ok=True)
                total -= size


def _download(url: str, path: Path) -> None:
    system, inside = file_system(url)
    temporary = path.with_suffix(".part")
    try:
        # fsspec's HTTP info calls an outage "not found"; there the client itself refuses an answer that is cut short
        size = None if inside.startswith("http") else system.info(inside).get("size")
        system.get_file(inside, str(temporary))
        if size is not None and temporary.stat().st_size != size:
            raise OSError(f"{temporary.stat().st_size} of {size} bytes came")
        os.replace(temporary, path)  # noqa: PTH105
    finally:
        temporary.unlink(missing_ok=True)


def _contents(url: str) -> bytes:
    system, inside = file_system(url)
    data: bytes = system.cat_file(inside)
    return data


def _with_patience(ask: Callable[[], _T], seconds: float) -> _T:
    """Ask again after longer and longer pauses; raises Unreadable when the time is over, at once if nothing is there.

    Each store raises the errors of its own library, so all count as an outage but those that say the file is missing.
    """
    start, pause = time.monotonic(), _FIRST_PAUSE
    while True:
        try:
            return ask()
        except FileNotFoundError:
            raise Unreadable("there is no such shard") from None
        except PermissionError as error:
            raise Unreadable(f"the shard may not be read ({error})") from None
        except MocoError:
            raise
        except Exception as error:
            if time.monotonic() - start + pause > seconds:
                reason = f"{type(error).__name__}: {error}".strip(": ")
                raise Unreadable(f"the shard cannot be reached, tried for {seconds:.0f} s ({reason})") from None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _touched(path: Path) -> bool:
    """Whether the file is there; marks it as used now, in the time of access alone."""
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except OSError:
        return False
    return True


def _age(path: Path) -> float | None:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
