"""What a study is: cells that differ from one recipe, and what the paper measured for each. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from moco.recipe import Recipe

Measure = Literal["knn", "rank", "accuracy", "memory", "seconds"]

MEASURES: dict[Measure, tuple[str, float]] = {
    "knn": ("kNN, %", 100),
    "rank": ("effective rank", 1),
    "accuracy": ("contrast accuracy, %", 100),
    "memory": ("memory of training, GiB", 1),
    "seconds": ("seconds for 1,000 images", 1),
}
"""What is measured: its name with the unit, and the factor from the number in a log to that unit."""


def of_paper(name: Measure) -> Measure:
    """The paper's measure that stands beside ours: effective rank stands in for kNN where there are no labels."""
    return "knn" if name == "rank" else name


FAILS = float("-inf")
"""The paper's value where its training failed: worse than every number."""


_FOLLOWED = {"epochs", "optim.lr", "encoder.norm_group"}
"""Fields of cells that follow what the user sets for the base recipe."""


@dataclass(frozen=True)
class Cell:
    """One training of a study: what it changes, where it stands in the picture, what the paper found."""

    label: str
    changes: dict[str, Any]
    """Fields of the recipe by dotted name, as `override` takes them."""
    x: str
    """Its place on the axis."""
    group: str = ""
    """Cells of one group are one line."""
    paper: dict[Measure, float] = field(default_factory=dict)
    """In the units of the paper, for each measure that the paper has."""
    paper_x: str = ""
    """Its place on the paper's axis, in a study whose cells were fitted to the data."""


@dataclass(frozen=True)
class Study:
    """Cells, an axis, what is measured, and how the paper's numbers are to be read."""

    name: str
    title: str
    cells: tuple[Cell, ...]
    axis: str
    source: str
    """Where the paper's values stand, and what they are."""
    measures: tuple[Measure, ...] = ("knn",)
    scaled: str = ""
    """What was fitted to the data, in one sentence."""
    tells: float = 0.5
    """Values of the paper closer than this are not told apart."""
    curves: dict[str, dict[Measure, tuple[tuple[float, float], ...]]] = field(default_factory=dict)
    """Where the paper draws curves over epochs: by label, (epoch, value)."""
    follows: tuple[str, ...] = ()
    """Fields that the cells change, starting from what the user sets."""
    own_process: bool = False
    """Each cell is trained in a fresh process, so that its memory can be measured."""

    def varies(self, name: str) -> bool:
        """Whether a field belongs to the study, so that a user cannot set it for all cells."""
        varied = {field for cell in self.cells for field in cell.changes} - _FOLLOWED - set(self.follows)
        return any(name == field or (name.startswith(f"{field}.") and field != "keys") for field in varied)


Fit = Callable[[dict[str, Any]], Recipe]
"""The base recipe with these fields set unless the user sets them, and what depends on them fitted to them."""

Make = Callable[[Fit, int], Study]
"""A study for a base recipe and so many images."""
