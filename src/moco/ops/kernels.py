"""Whether there are compiled kernels: they need Numba, which is an extra."""

from __future__ import annotations

from functools import cache
from types import ModuleType


@cache
def kernels() -> ModuleType | None:
    """`moco.ops.fused`, or None where Numba is missing: `pip install 'momentum-contrast[fast]'`.

    Nor are there any where Numba finds no place that it may write to, to keep what it compiled (RuntimeError).
    """
    try:
        from moco.ops import fused
    except (ImportError, RuntimeError):
        return None
    return fused


@cache
def has_norm_kernels() -> bool:
    """Whether there is `moco.ops.fused_norm`: with Numba, where torch computes on threads of libgomp, as on Linux."""
    try:
        from moco.ops.native import team

        team()
    except (ImportError, OSError, AttributeError):
        return False
    return True
