"""Pillow's warnings, silenced while an image is read, in any number of threads.

`warnings.catch_warnings` is for one thread: of two that overlap, the last to leave restores what the first had set.
So the first to enter sets the filter, and the last to leave takes it away.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside: list[warnings.catch_warnings[None]] = []
_count = 0


@contextmanager
def quiet() -> Iterator[None]:
    """No warning of Pillow's (size, EXIF, palettes) while inside: what is wrong with an image is said by its reader."""
    global _count
    with _lock:
        _count += 1
        if _count == 1:
            caught = warnings.catch_warnings()
            caught.__enter__()
            _inside.append(caught)
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with _lock:
            _count -= 1
            if _count == 0:
                _inside.pop().__exit__(None, None, None)
