"""Randomness as a function: every random choice is drawn from a counter, not from a state.

A choice is named by integers (seed, epoch or step, image index, view, which choice), so that it is the same after a
resume, in any process, on any device, and in whatever order it is asked for. Drawn with NumPy on the host: a few
numbers per image, bit-equal everywhere.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np
from numpy.typing import NDArray

Integers = int | NDArray[np.int64] | NDArray[np.uint64]


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection that spreads every bit of x over all."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def counter(*name: Integers) -> NDArray[np.uint64]:
    """64 well-mixed bits for each name; arrays broadcast against each other."""
    key = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in name:
            key = _mix((key ^ np.asarray(part).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15))
    return key


def uniform(*name: Integers) -> NDArray[np.float64]:
    """Numbers in [0, 1), one for each name."""
    return (counter(*name) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def integers(below: Integers, *name: Integers) -> NDArray[np.int64]:
    """Integers in [0, below), one for each name; uneven by less than below / 2^53."""
    return np.floor(uniform(*name) * below).astype(np.int64)


def permutation(n: int, *name: int) -> NDArray[np.int64]:
    """A permutation of n, each equally likely but for ties of 64-bit numbers."""
    return np.argsort(counter(*name, np.arange(n)), kind="stable")


@functools.cache
def stream(word: str) -> int:
    """The integer that stands for a word in a name, so that two uses never share numbers."""
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little") >> 1
