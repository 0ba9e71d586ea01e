"""Files that are either whole or not there: a temporary file, fsync, then `os.replace`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from moco.errors import MocoError


@contextmanager
def no_space_is_told(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR):
            raise MocoError(
                f"{path} could not be written: {os.strerror(error.errno).lower()}. Files written earlier are whole; "
                "make room, then run the same command to continue"
            ) from None
        raise


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace `path` by what `write` writes; on any failure the old file stays. Raises MocoError on a full disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with no_space_is_told(path):
        try:
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a text file, atomically."""
    write_atomically(path, lambda file: file.write(text.encode()))
