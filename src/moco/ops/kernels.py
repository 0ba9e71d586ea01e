"""Whether there are compiled kernels: they need Numba, which is an extra."""

from __future__ import annotations

from functools import cache
from types import ModuleType


@cache
def kernels() -> ModuleType | None:
    """`moco.ops.fused`, or None where Numba is missing: `pip install 'momentum-contrast[fast]'`."""
    try:
        from moco.ops import fused
    except ImportError:
        return None
    return fused
