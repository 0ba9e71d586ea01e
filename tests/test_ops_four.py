"""Neighbouring numbers at a time, against the sum written out."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="the kernels need the extra `fast`")


@pytest.mark.parametrize("count", [3, 4])
def test_four_neighbours_are_weighted_from_every_third_place(count):
    from moco.ops.compiled import fast
    from moco.ops.four import sum_of_fours

    @fast
    def three(out, x, weights):
        sum_of_fours(out, 1, x, 2, weights, 5, 3, 3)

    @fast
    def four(out, x, weights):
        sum_of_fours(out, 1, x, 2, weights, 5, 4, 3)

    rng = np.random.default_rng(0)
    out, x, weights = np.zeros(6, np.float32), rng.random(20, dtype=np.float32), rng.random(9, dtype=np.float32)
    (three if count == 3 else four)(out, x, weights)
    wanted = sum(weights[5 + k] * x[2 + 3 * k : 6 + 3 * k] for k in range(count))
    assert np.abs(out[1:5] - wanted).max() < 1e-6
    assert out[0] == out[5] == 0


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("count", [3, 5])
def test_neighbours_of_any_type_are_weighted_over_rows_of_known_and_unknown_number(kind, count):
    from moco.ops.compiled import fast
    from moco.ops.four import sum_of_rows

    @fast
    def known(out, x, weights, count):
        sum_of_rows(out, 1, x, 2, 20, weights, 5, 3, 8)

    @fast
    def any_number(out, x, weights, count):
        sum_of_rows(out, 1, x, 2, 20, weights, 5, count, 8)

    rng = np.random.default_rng(0)
    x = (rng.random((5, 20)) * 60_000 - 30_000 * (kind == "int16")).astype(kind)
    out, weights = np.zeros(10, np.float32), rng.random(10, dtype=np.float32)
    (known if count == 3 else any_number)(out, x, weights, count)
    wanted = (weights[5 : 5 + count, None].astype(np.float64) * x[:count, 2:10]).sum(axis=0)
    assert np.abs(out[1:9] - wanted).max() < 1e-6 * np.abs(x).max() * count
    assert out[0] == out[9] == 0
