"""What is decoded is kept while there is room, so that each process that reads a small data set decodes it once."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from torch import Tensor


class Kept:
    """Tensors by name, the first that fit into so many bytes; none of them may be changed."""

    def __init__(self, most: float) -> None:
        self._room, self._kept = most, dict[Hashable, Tensor]()

    def get(self, name: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """What `make` gave for this name, or gives now; raises what it raises."""
        found = self._kept.get(name)
        if found is None:
            found = make()
            size = found.numel() * found.element_size()
            if size <= self._room:
                self._room -= size
                self._kept[name] = found
        return found
