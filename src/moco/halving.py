"""Successive halving (arXiv:1502.07943, arXiv:1810.05934): many are tried shortly, the better third for longer.

`moco tune` takes trials on so, and `auto` views.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

FACTOR = 3
"""Of those at a rung, about one in so many goes on."""


def rungs(length: int, number: int = 3, factor: int = FACTOR) -> list[int]:
    """Lengths at which trials are compared: a ninth, a third, and the whole (fewer where the whole is short)."""
    return sorted({max(1, -(-length // factor**power)) for power in range(number)})


def survivors(count: int, factor: int = FACTOR) -> int:
    """How many of so many go on."""
    return max(1, math.ceil(count / factor))


def cost(count: int, at: Sequence[int], factor: int = FACTOR) -> int:
    """Lengths put together when so many trials begin, and those that go on are not begun anew."""
    spent, before = 0, 0
    for rung in at:
        spent += count * (rung - before)
        before, count = rung, survivors(count, factor)
    return spent
