"""Neighbouring numbers at a time, in compiled kernels: what Numba does not find by itself in a short sum.

Four bands of a pixel, or three channels and a number that nobody looks at, are weighted and added up in one register;
so are eight places of a few rows.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def sum_of_fours(
    context: Any, out: Any, to: Any, x: Any, at: Any, weights: Any, first: Any, count: Any, step: Any
) -> Any:
    """out[to + c] = sum over k < count of weights[first + k] * x[at + step k + c], for c of 0 to 3.

    Flat float32 arrays, places counted from their start, `count` written as a number; nothing checks the places.
    """
    assert isinstance(count, types.IntegerLiteral)
    taps = count.literal_value

    def generate(target: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        four = ir.VectorType(ir.FloatType(), 4)
        nothing = ir.Constant(four, ir.Undefined)
        all_the_first = ir.Constant(ir.VectorType(ir.IntType(32), 4), [0] * 4)

        def place(array: int, index: int, further: Any) -> Any:
            data = target.make_array(signature.args[array])(target, builder, values[array]).data
            return builder.gep(builder.gep(data, [values[index]]), [further])

        total = ir.Constant(four, [0.0] * 4)
        for k in range(taps):
            tap = ir.Constant(ir.IntType(64), k)
            further = builder.mul(values[7], tap)
            pixel = builder.load(builder.bitcast(place(2, 3, further), four.as_pointer()), align=4)
            weight = builder.insert_element(nothing, builder.load(place(4, 5, tap)), ir.Constant(ir.IntType(32), 0))
            weight = builder.shuffle_vector(weight, nothing, all_the_first)
            total = builder.fadd(total, builder.fmul(pixel, weight, flags=("fast",)), flags=("fast",))
        builder.store(total, builder.bitcast(place(0, 1, ir.Constant(ir.IntType(64), 0)), four.as_pointer()), align=4)
        return target.get_dummy_value()

    return types.void(out, to, x, at, weights, first, count, types.int64), generate


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def sum_of_rows(
    context: Any, out: Any, to: Any, x: Any, at: Any, step: Any, weights: Any, first: Any, count: Any, lanes: Any
) -> Any:
    """out[to + p] = sum over k < count of weights[first + k] * x[at + step k + p], for p < lanes.

    As `sum_of_fours`, but that x may be of whole numbers too; `lanes` is written as a number, `count` need not be.
    """
    assert isinstance(lanes, types.IntegerLiteral)
    kind, unrolled = x.dtype, isinstance(count, types.IntegerLiteral)

    def generate(target: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        wide = ir.VectorType(ir.FloatType(), lanes.literal_value)
        nothing = ir.Constant(wide, ir.Undefined)
        all_the_first = ir.Constant(ir.VectorType(ir.IntType(32), wide.count), [0] * wide.count)

        def place(array: int, index: int, further: Any) -> Any:
            data = target.make_array(signature.args[array])(target, builder, values[array]).data
            return builder.gep(builder.gep(data, [values[index]]), [further])

        def weighted(tap: Any) -> Any:
            start = place(2, 3, builder.mul(values[4], tap))
            stored = ir.VectorType(start.type.pointee, wide.count)
            pixels = builder.load(builder.bitcast(start, stored.as_pointer()), align=kind.bitwidth // 8)
            if kind != types.float32:
                extend = builder.sext if kind.signed else builder.zext
                pixels = builder.sitofp(extend(pixels, ir.VectorType(ir.IntType(32), wide.count)), wide)
            weight = builder.insert_element(nothing, builder.load(place(5, 6, tap)), ir.Constant(ir.IntType(32), 0))
            weight = builder.shuffle_vector(weight, nothing, all_the_first)
            return builder.fmul(pixels, weight, flags=("fast",))

        total = ir.Constant(wide, [0.0] * wide.count)
        if unrolled:
            for k in range(count.literal_value):
                total = builder.fadd(total, weighted(ir.Constant(ir.IntType(64), k)), flags=("fast",))
        else:
            kept = cgutils.alloca_once_value(builder, total)
            with cgutils.for_range(builder, values[7]) as loop:
                builder.store(builder.fadd(builder.load(kept), weighted(loop.index), flags=("fast",)), kept)
            total = builder.load(kept)
        to_store = builder.bitcast(place(0, 1, ir.Constant(ir.IntType(64), 0)), wide.as_pointer())
        builder.store(total, to_store, align=4)
        return target.get_dummy_value()

    return types.void(out, to, x, at, step, weights, first, count if unrolled else types.int64, types.int64), generate
