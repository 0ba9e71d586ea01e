"""What a user asks of `auto`, and what a run that goes on must be asked again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from moco.auto.budget import budget, seconds_of
from moco.data.decide import Decided
from moco.errors import MocoError
from moco.recipe import Recipe, flatten, override, v2
from moco.recipe.views import CANDIDATES


@dataclass(frozen=True)
class Ask:
    """What the user asked of `auto`: a run goes on only where it is asked the same."""

    time: str | None = None
    views: str | None = None
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    made: Decided = dataclasses.field(default_factory=lambda: Decided(None))
    """What the images are made of."""

    @property
    def candidates(self) -> tuple[str, ...]:
        """The sets of views to choose from: what fits such images first, where there is such a set."""
        return CANDIDATES if self.made.views is None else (self.made.views, *CANDIDATES)

    def into(self, recipe: Recipe) -> Recipe:
        """The recipe for these images."""
        return self.made.into(recipe, any(name.startswith("normalize") for name in self.changes))

    @property
    def fixed(self) -> dict[str, Any]:
        """The fields that the user set, checked, and of the types that the recipe has."""
        values = flatten(override(v2(), self.changes))
        return {name: values.get(name, value) for name, value in self.changes.items()}

    @property
    def length_is_set(self) -> bool:
        """Whether epochs or steps are named."""
        return self.changes.get("epochs") is not None or self.changes.get("steps") is not None

    @property
    def views_are_set(self) -> bool:
        """Whether views are named, or a part of them."""
        return self.views is not None or any(name.startswith(("query_view", "key_view")) for name in self.changes)

    def seconds(self, device: str) -> float | None:
        """What the run may take in all on this kind of device; None where its length is set."""
        return None if self.length_is_set else budget(self.time, device).seconds

    def refuse_contradiction(self, recipe: str | Recipe) -> None:
        """Raise MocoError where a time meets what already says how long the run is."""
        if self.time is None:
            return
        if recipe != "auto":
            name = recipe if isinstance(recipe, str) else recipe.name
            raise MocoError(
                f"--time {self.time} is for the recipe auto, which fits network and length to it; {name} has a length "
                "of its own (leave one of them out)"
            )
        seconds_of(self.time)
        if self.length_is_set:
            named = "--epochs" if self.changes.get("epochs") is not None else "--steps"
            raise MocoError(f"--time {self.time} and {named} both say how long the run is; leave one of them out")

    def as_written(self) -> dict[str, Any]:
        """As it stands in auto.json."""
        named = {"time": self.time, "views": self.views}
        return {k: v for k, v in named.items() if v is not None} | {k: str(v) for k, v in self.changes.items()}


def goes_on(saved: dict[str, Any], ask: Ask, out: object) -> bool:
    """Whether auto.json is of a run that was asked the same; raises MocoError where it was asked something else."""
    if not saved:
        return False
    if saved["asked"] != (now := ask.as_written()):
        was = saved["asked"]
        names = [name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)]
        different = "; ".join(
            f"{name} was {was.get(name, 'not set')}, now {now.get(name, 'not set')}" for name in names
        )
        raise MocoError(
            f"{out} was started with another recipe: {different}. Repeat the first command to continue, or name "
            "another --out"
        )
    return True
