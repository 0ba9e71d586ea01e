"""The order of an epoch as a function: which image comes at which position, without a list of all images.

A permutation of ten thousand million images, of which any process computes just the part it needs, and which a resumed
run finds again from (seed, epoch). A balanced Feistel network (Luby and Rackoff 1988) permutes the next even power of
two; numbers that fall outside [0, n) are permuted again until they fall inside (cycle walking, Black and Rogaway 2002).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moco.ops.draw import counter, stream

_ROUNDS = 12
"""Four make a network hard to tell from chance on large halves; the small halves of small data sets want more."""


def order(n: int, seed: int, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """The image at each position (any shape, within [0, n)) of an epoch: a bijection of [0, n)."""
    positions = np.asarray(positions, dtype=np.int64)
    if positions.size == 0 or n == 1:
        return np.zeros_like(positions)
    assert positions.min() >= 0
    assert positions.max() < n
    half = ((n - 1).bit_length() + 1) // 2
    keys = counter(stream("order"), seed, epoch, np.arange(_ROUNDS))

    image = _feistel(positions.astype(np.uint64).ravel(), half, keys)
    while (outside := np.flatnonzero(image >= np.uint64(n))).size:
        image[outside] = _feistel(image[outside], half, keys)
    return image.astype(np.int64).reshape(positions.shape)


def _feistel(x: NDArray[np.uint64], half: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Permute numbers of 2 * half bits: each round changes one half by a function of the other."""
    width, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = x >> width, x & mask
    for key in keys:
        left, right = right, left ^ (counter(key, right) & mask)
    return (left << width) | right
