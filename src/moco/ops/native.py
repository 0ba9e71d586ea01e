"""What compiled kernels for a CPU need and Numba lacks: bf16, arrays at an address, and the threads of torch.

Threads of our own would share the processors with those of torch, which wait actively for its next call. Torch's are a
team of OpenMP's, of the libgomp that is loaded with it; whoever enters it from the same thread meets the same team.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_I16, _I32, _I64 = (ir.IntType(bits) for bits in (16, 32, 64))


@intrinsic  # type: ignore[untyped-decorator]
def widen(context: Any, number: Any) -> Any:
    """The fp32 of a number that is fp32, or bf16 kept as uint16."""

    def generate(target: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        if number == types.float32:
            return values[0]
        return builder.bitcast(builder.shl(builder.zext(values[0], _I32), ir.Constant(_I32, 16)), ir.FloatType())

    return types.float32(number), generate


@intrinsic  # type: ignore[untyped-decorator]
def narrow(context: Any, number: Any, like: Any) -> Any:
    """An fp32 as what `like` is: itself, or the nearest bf16 as uint16, the even one of two."""

    def generate(target: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        if like == types.float32:
            return values[0]
        bits = builder.bitcast(values[0], _I32)
        odd = builder.and_(builder.lshr(bits, ir.Constant(_I32, 16)), ir.Constant(_I32, 1))
        rounded = builder.add(bits, builder.add(odd, ir.Constant(_I32, 0x7FFF)))
        return builder.trunc(builder.lshr(rounded, ir.Constant(_I32, 16)), _I16)

    return like(types.float32, like), generate


@intrinsic(prefer_literal=False)  # type: ignore[untyped-decorator]
def pointer(context: Any, address: Any, kind: Any) -> Any:
    """An address as what `numba.carray` takes, to numbers of this NumPy type."""
    to = types.CPointer(kind.dtype)

    def generate(target: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], target.get_value_type(to))

    return to(types.int64, kind), generate


@intrinsic  # type: ignore[untyped-decorator]
def take(context: Any, counter: Any) -> Any:
    """The int64 that this pointer points to, which grows by one: no two threads get the same."""

    def generate(target: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("add", values[0], ir.Constant(_I64, 1), "monotonic")

    return types.int64(types.CPointer(types.int64)), generate


@cache
def team() -> Any:
    """OpenMP's way to call a function of C on every thread. Raises OSError or AttributeError where there is none."""
    enter = ctypes.CDLL("libgomp.so.1").GOMP_parallel
    enter.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    enter.restype = None
    return enter


def on_all_threads(work: Any, tasks: int, *arguments: int) -> None:
    """Call `work`, a compiled function of C, with a pointer to [0, *arguments], on as many threads as torch has.

    The first number is the counter to `take` tasks from. One task is for this thread alone; for any other number the
    whole team comes, as a smaller one would end the threads that are left out.
    """
    numbers = (ctypes.c_int64 * (1 + len(arguments)))(0, *arguments)
    team()(work.address, numbers, torch.get_num_threads() if tasks > 1 else 1, 0)
