"""Files that are either whole or not there: a temporary file, fsync, then `os.replace`."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from moco.errors import MocoError

_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room in your quota",
    errno.EROFS: "make the disk writable",
    errno.EACCES: "allow writing there",
    errno.EPERM: "allow writing there",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ENOENT: "was the folder removed? put it back",
    errno.ENOTDIR: "something on that path is a file: move it away",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


@contextmanager
def trouble_is_told(path: Path) -> Iterator[None]:
    """Turn a full, read-only or failing disk into a MocoError: what happened, and what to do about it."""
    try:
        yield
    except OSError as error:
        code = error.errno or 0
        raise MocoError(
            f"{path} could not be written: {(os.strerror(code) if code else str(error)).lower()}. Files written "
            f"earlier are whole; {_REMEDIES.get(code, 'look after the disk')}, then run the same command to continue"
        ) from None


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace `path` by what `write` writes; on failure the old stays. Raises MocoError on a full or broken disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with trouble_is_told(path):
        try:
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105
        finally:
            temporary.unlink(missing_ok=True)


def copy_atomically(path: Path, to: Path) -> None:
    """Replace `to` by a copy of `path`; raises MocoError on a full or broken disk."""
    with path.open("rb") as file:
        write_atomically(to, lambda copy: shutil.copyfileobj(file, copy, 1 << 20))


def keep_as(path: Path, kept: Path) -> None:
    """Let `kept` also be the file `path`, where there is one: a second name, or a copy where the disk has no links."""
    if not path.exists():
        return
    temporary = kept.with_name(f".{kept.name}.{os.getpid()}.tmp")
    with trouble_is_told(kept):
        try:
            try:
                os.link(path, temporary)
            except OSError:
                shutil.copyfile(path, temporary)
            os.replace(temporary, kept)  # noqa: PTH105
        finally:
            temporary.unlink(missing_ok=True)  # where both are one file already, replacing leaves it


def write_text(path: Path, text: str) -> None:
    """Replace a text file, atomically."""
    write_atomically(path, lambda file: file.write(text.encode()))
