"""Finding images by something that is not among them: an image, or words where the encoder understands any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 24
"""Numbers that are widened at a time."""

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Ways:
    """How to turn what a person has into a feature (D); each raises MocoError where it cannot."""

    image: Callable[[bytes], Vector] | None = None
    """From an encoded image; None where no encoder can be opened."""
    text: Callable[[str], Vector] | None = None
    """From words; None where the encoder was trained without any."""


class Search:
    """Through features of length 1 that lie in a file (N x D, half precision)."""

    def __init__(self, unit: Path) -> None:
        self._unit: NDArray[Any] = np.load(unit, mmap_mode="r", allow_pickle=False)

    def nearest(self, feature: Vector, k: int) -> list[tuple[int, float]]:
        """The k rows with the largest cosine to `feature` (D), and their cosines."""
        query = feature.astype(np.float32) / max(float(np.linalg.norm(feature)), 1e-12)
        rows = max(1, _CHUNK // self._unit.shape[1])
        cosines = np.concatenate(
            [self._unit[i : i + rows].astype(np.float32) @ query for i in range(0, len(self._unit), rows)]
        )
        best = np.argsort(-cosines, kind="stable")[:k]
        return [(int(i), float(cosines[i])) for i in best]
