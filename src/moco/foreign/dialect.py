"""A dialect: the names that a library gives to the tensors of an architecture, and ours for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from moco.foreign.architecture import Architecture
from moco.foreign.containers import Tensors

Translate = Callable[[Tensors], Tensors]
"""Tensors by a library's names to the same by ours; on tensors without memory as on others."""


@dataclass(frozen=True)
class Dialect:
    """One way to name the tensors of a family of architectures."""

    name: str
    landmark: str
    """A pattern of a name that every such file has; what stands before it is the prefix."""
    translate: Translate
    read: Callable[[Tensors], Architecture | None]
    """The architecture that named shapes belong to, by our names; None where it is none of this family."""

    def prefixes(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """What stands before the landmark, wherever it is found, and the landmark there."""
        pattern = re.compile(rf"(|.*?\.){self.landmark}")
        found = {match[1]: name for name in names if (match := pattern.fullmatch(name))}
        yield from found.items()


def renamed(*rules: tuple[str, str]) -> Translate:
    """A translation that rewrites each name by these patterns, in order."""
    compiled = [(re.compile(pattern), new) for pattern, new in rules]

    def translate(tensors: Tensors) -> Tensors:
        found: Tensors = {}
        for name, tensor in tensors.items():
            for pattern, new in compiled:
                name = pattern.sub(new, name)
            found[name] = tensor
        return found

    return translate
