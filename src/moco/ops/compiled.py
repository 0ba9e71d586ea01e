"""How kernels for a CPU are compiled, with Numba.

Numba keeps what it compiled, and looks only at the file of a kernel to see whether it is still the same: a kernel and
what it calls of this project belong into one file, but for what is here and in `four.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def fast(function: Function) -> Function:
    """The function, compiled when it is first called: sums in any order, no infinities, no lock of Python's."""
    flags = {"nnan", "nsz", "ninf", "contract", "reassoc"}
    compiled: Function = njit(cache=True, nogil=True, error_model="numpy", fastmath=flags)(function)
    return compiled
