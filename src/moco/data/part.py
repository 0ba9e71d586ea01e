"""A labelled part of a source: some of its images, each of a class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.data.names import number_of
from moco.data.opened import Opened
from moco.data.source import Hints, Source, native


class Part:
    """The images of `whole` at `positions`, each of a class; it reads through `whole` and copies nothing."""

    def __init__(self, whole: Source, positions: NDArray[np.int64], classes: list[str], description: str) -> None:
        assert len(positions) == len(classes)
        self.whole, self.positions, self.classes = whole, positions, classes
        self.description = f"{description}, {number_of(len(positions), 'image')}"

    @property
    def hints(self) -> Hints:
        """Those of the whole."""
        return self.whole.hints

    def __len__(self) -> int:
        return len(self.positions)

    def name(self, i: int) -> str:
        """The name in the whole."""
        return self.whole.name(int(self.positions[i]))

    def raw(self, i: int) -> bytes | NDArray[np.uint8] | Opened:
        """The file or pixels; raises Unreadable."""
        return self.whole.raw(int(self.positions[i]))

    def native(self, i: int) -> Any:
        """The file, or its own values; raises Unreadable."""
        return native(self.whole, int(self.positions[i]))

    def label(self, i: int) -> str:
        """The class in this part, which may be another than the layout of the whole states."""
        return self.classes[i]
