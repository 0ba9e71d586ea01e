"""What each image of a batch goes through, as tables: the work orders of the compiled views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

BRIGHTNESS, CONTRAST, SATURATION, HUE, GRAY, BLUR, SOLARIZE = range(7)
"""What the numbers of steps stand for; the first four as in `colour.py`."""

_ONE_STEP = {"gray": GRAY, "blur": BLUR, "solarize": SOLARIZE}

Floats = NDArray[np.float64]
Table = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


def steps_of(
    operations: Sequence[str],
    on: Mapping[str, NDArray[np.bool_]],
    numbers: Mapping[str, Sequence[Floats]],
    order: NDArray[np.int64],
) -> Table:
    """Steps and their values, each N x 7, and how many of them count for each image: those that are on come first.

    `operations` in the order in which they are done; "jitter" is four of them, in an order of its own for each image
    (N x 4), and `numbers` has its three factors and its hue. A hue that is not turned is left out.
    """
    n = len(order)
    steps, values, wanted = [], [], []
    for operation in operations:
        if operation == "jitter":
            drawn = np.take_along_axis(np.stack(numbers["jitter"], axis=1), order, axis=1)
            steps += list(order.T)
            values += list(drawn.T)
            wanted += list((on["jitter"][:, None] & ((order != HUE) | (drawn != 0))).T)
        else:
            steps.append(np.full(n, _ONE_STEP[operation]))
            values.append(numbers["blur"][0] if operation == "blur" else np.zeros(n))
            wanted.append(on[operation])
    rank = np.argsort(~np.stack(wanted, axis=1), axis=1, kind="stable")
    return (
        np.take_along_axis(np.stack(steps, axis=1), rank, axis=1),
        np.take_along_axis(np.stack(values, axis=1), rank, axis=1).astype(np.float32),
        np.stack(wanted, axis=1).sum(axis=1),
    )
