"""The fields of a recipe that are searched, each with its range: `optim.lr=0.01..0.3`, `encoder.head_layers=1,2`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from moco.errors import MocoError
from moco.recipe import Momentum, Queue, Recipe, flatten

Scale = float | int | str | bool


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; on a logarithmic scale where the ends are a factor of 5 or more apart.

    A momentum (a field called `m`) is drawn by its distance from 1, so that 0.99 and 0.999 are as far apart as 0.9 and
    0.99.
    """

    field: str
    low: float
    high: float
    whole: bool = False

    @property
    def from_one(self) -> bool:
        """Whether the distance from 1 is what is drawn."""
        return self.field.split(".")[-1] == "m" and 0 < self.low < self.high < 1

    @property
    def log(self) -> bool:
        """Whether the scale is logarithmic."""
        return self.from_one or (self.low > 0 and self.high / self.low >= 5)


@dataclass(frozen=True)
class Choices:
    """Some values to choose from."""

    field: str
    values: tuple[Scale, ...]


Search = Range | Choices


class Draws(Protocol):
    """What draws values; a trial of Optuna is one."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = ...) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = ...) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


def parse_search(text: str, recipe: Recipe) -> Search:
    """A field with its range or values, as written on the command line; raises MocoError where they do not fit."""
    name, _, rest = text.partition("=")
    name = name.removeprefix("--").replace("-", "_")
    fields = flatten(recipe)
    if name not in fields:
        raise MocoError(f"--search {text}: there is no field {name!r} in this recipe; it has {', '.join(fields)}")
    if name == "epochs":
        raise MocoError("--search epochs: all trials are of one length, or they could not be compared")
    low, dots, high = rest.partition("..")
    if not dots:
        values = tuple(_value(text, word, fields[name]) for word in rest.split(",") if word)
        if not values:
            raise MocoError(f"--search {text}: give a range, as in {name}=0.1..0.5, or values, as in {name}=1,2")
        return Choices(name, values)
    ends = [_value(text, word, 0.0) for word in (low, high)]
    whole = isinstance(fields[name], int) and not isinstance(fields[name], bool)
    if not isinstance(fields[name], int | float) or isinstance(fields[name], bool):
        raise MocoError(f"--search {text}: {name} is no number; give values, as in {name}=a,b")
    if not float(ends[0]) < float(ends[1]):
        raise MocoError(f"--search {text}: the range must rise")
    return Range(name, float(ends[0]), float(ends[1]), whole)


def _value(text: str, word: str, like: object) -> Scale:
    try:
        if isinstance(like, bool):
            return {"true": True, "false": False}[word.lower()]
        if isinstance(like, int):
            return int(word)
        return float(word) if isinstance(like, float) else word
    except (KeyError, ValueError):
        raise MocoError(f"--search {text}: {word!r} is not of the kind that this field takes ({like!r} now)") from None


def usual_search(recipe: Recipe, images: int) -> list[Search]:
    """m, K, temperature and learning rate, around what the recipe has."""
    found: list[Search] = []
    if isinstance(recipe.keys, Momentum):
        found.append(Range("keys.m", 0.9, 0.999))
    if isinstance(recipe.dictionary, Queue):
        fewest = recipe.batch * (2 if recipe.loss.symmetric else 1)
        most = min(65536, images // 5)
        if most > fewest:
            found.append(Range("dictionary.size", fewest, most, whole=True))
    found.append(Range("loss.temperature", 0.05, 0.5))
    found.append(Range("optim.lr", recipe.optim.lr / 5, recipe.optim.lr * 5))
    return found


def draw_changes(space: Sequence[Search], draws: Draws) -> dict[str, Any]:
    """A value for each field, as `override` takes them."""
    changes: dict[str, Any] = {}
    for one in space:
        match one:
            case Choices(field=field, values=values):
                changes[field] = draws.suggest_categorical(field, values)
            case Range(field=field, whole=True):
                changes[field] = draws.suggest_int(field, round(one.low), round(one.high), log=one.log)
            case Range(field=field) if one.from_one:
                distance = draws.suggest_float(f"1 - {field}", 1 - one.high, 1 - one.low, log=True)
                changes[field] = round(1 - distance, 6)
            case Range(field=field):
                changes[field] = draws.suggest_float(field, one.low, one.high, log=one.log)
    return changes


def describe(one: Search) -> str:
    """One line for people."""
    match one:
        case Choices(field=field, values=values):
            return f"{field}: one of {', '.join(map(str, values))}"
        case Range(field=field):
            scale = "by the distance from 1, logarithmic" if one.from_one else "logarithmic" if one.log else "even"
            return f"{field}: {one.low:g} to {one.high:g}, {scale}"
