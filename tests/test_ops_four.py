"""Four numbers at a time, against the sum written out."""

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
