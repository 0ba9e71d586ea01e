"""Files that are better not read whole: TIFFs whose pages and tiles are found by their headers."""

from __future__ import annotations

import os
from typing import Any

from moco.data.content import kind_of
from moco.data.formats import has
from moco.data.source import file_bytes

LARGE = 32 << 20
"""Bytes from which on a TIFF is read in parts."""


def opened_or_bytes(path: str) -> Any:
    """The bytes of a file, or a large TIFF opened; raises Unreadable."""
    try:
        large = os.stat(path).st_size >= LARGE and has("tifffile")  # noqa: PTH116
        if large:
            with open(path, "rb") as file:  # noqa: PTH123
                large = kind_of(file.read(4096)) == "TIFF"
    except OSError:
        large = False  # reading it says why
    if not large:
        return file_bytes(path)
    from moco.data.tiff import Tiff

    return Tiff(path)
