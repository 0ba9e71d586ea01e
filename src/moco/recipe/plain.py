"""Recipes as plain data: to JSON and back, and changes by dotted field name."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from typing import Any, TypeVar

from moco.errors import MocoError
from moco.recipe.parts import Recipe

R = TypeVar("R")


def to_json(recipe: object) -> str:
    """The recipe, of pretraining or of another work, as indented JSON; a part among several names its `type`."""
    return json.dumps(_plain(recipe), indent=2)


def from_json(text: str) -> Recipe:
    """The recipe that `to_json` wrote; raises MocoError where a field is missing, unknown or of a wrong type."""
    return read_json(text, Recipe)


def read_json(text: str, kind: type[R]) -> R:
    """The same, for any tree of dataclasses."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise MocoError(f"the recipe is not JSON: {error}") from None
    recipe = _build(kind, data, "recipe")
    if not isinstance(recipe, kind):
        raise MocoError(f"the recipe is {recipe!r}, no {kind.__name__}")
    return recipe


def override(recipe: R, changes: dict[str, Any]) -> R:
    """The recipe with fields changed by dotted name, all at once: `{"optim.lr": 0.1, "epochs": 5}`.

    A list does for a tuple and a whole number for a real one. Raises MocoError where a field is unknown, or a value is
    not of its type.
    """
    if len(length := changes.keys() & {"epochs", "steps"}) == 1:  # one replaces the other
        changes = {**changes, **dict.fromkeys({"epochs", "steps"} - length)}
    tree: dict[str, Any] = {}
    for path, value in changes.items():
        *parents, name = path.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise MocoError(f"{path} cannot be changed as well: {parent} is set as a whole ({branch!r})")
        branch[name] = value
    changed = _override(recipe, tree, "")
    assert isinstance(changed, type(recipe))
    return changed


def flatten(part: object, prefix: str = "") -> dict[str, Any]:
    """Every leaf of a recipe by dotted name, as `override` takes them."""
    assert dataclasses.is_dataclass(part)
    leaves: dict[str, Any] = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            leaves |= flatten(value, f"{prefix}{field.name}.")
        else:
            leaves[f"{prefix}{field.name}"] = value
    return leaves


def _override(part: Any, tree: dict[str, Any], where: str) -> Any:
    names = [field.name for field in dataclasses.fields(part)]
    kind: Any = type(part)
    kinds = _kinds(kind)
    values: dict[str, Any] = {}
    for name, value in tree.items():
        if name not in names:
            raise MocoError(f"there is no {where}{name} in this recipe; {where or 'it '}has {', '.join(names)}")
        current = getattr(part, name)
        if isinstance(value, dict) and not dataclasses.is_dataclass(current):
            raise MocoError(f"{where}{name} is {current!r} in this recipe; it has no {', '.join(value)}")
        if isinstance(value, dict):
            values[name] = _override(current, value, f"{where}{name}.")
        else:
            values[name] = _build(kinds[name], _plain(value), f"{where}{name}")
    return dataclasses.replace(part, **values)


@functools.cache
def _kinds(part: Any) -> dict[str, Any]:
    """The types of a part's fields; kept, as thousands of recipes are read for one table."""
    return typing.get_type_hints(part)


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return fields if isinstance(value, Recipe) else {"type": type(value).__name__, **fields}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def _build(kind: Any, data: Any, where: str) -> Any:
    """Build `kind` (a dataclass, a union, a tuple or a scalar type) from parsed JSON."""
    is_union = isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
    options = typing.get_args(kind) if is_union else (kind,)
    if data is None and type(None) in options:
        return None
    if isinstance(data, dict):
        allowed: dict[str, Any] = {
            o.__name__: o for o in options if isinstance(o, type) and dataclasses.is_dataclass(o)
        }
        name = str(data.get("type", "Recipe" if where == "recipe" else None))
        if name not in allowed:
            raise MocoError(f"{where}: type {name!r} is none of {', '.join(allowed) or 'the parts that fit there'}")
        part = allowed[name]
        return _build_part(part, {k: v for k, v in data.items() if k != "type"}, where)
    for option in options:
        built = _build_scalar(option, data)
        if built is not _MISFIT:
            return built
    raise MocoError(f"{where}: {data!r} is not {_describe(kind)}")


def _build_part(part: Any, data: dict[str, Any], where: str) -> Any:
    hints = _kinds(part)
    if unknown := data.keys() - hints.keys():
        raise MocoError(f"{where}: unknown field {', '.join(sorted(unknown))}; {part.__name__} has {', '.join(hints)}")
    missing_default = dataclasses.MISSING
    needed = [f.name for f in dataclasses.fields(part) if f.default is missing_default is f.default_factory]
    if missing := [n for n in needed if n not in data]:
        raise MocoError(f"{where}: {', '.join(missing)} is missing")
    return part(**{name: _build(hints[name], value, f"{where}.{name}") for name, value in data.items()})


_MISFIT = object()


def _build_scalar(kind: Any, data: Any) -> Any:
    """`data` as `kind`, or _MISFIT."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return data if data in arguments else _MISFIT
    if origin is tuple:
        if not isinstance(data, list):
            return _MISFIT
        kinds = [arguments[0]] * len(data) if arguments[-1] is Ellipsis else list(arguments)
        built = [_build_scalar(k, v) for k, v in zip(kinds, data, strict=False)]
        return tuple(built) if len(data) == len(kinds) and _MISFIT not in built else _MISFIT
    if kind is float and isinstance(data, int | float) and not isinstance(data, bool) and abs(data) < 1e300:
        return float(data)
    if kind in (int, str, bool) and type(data) is kind:
        return data
    return _MISFIT


def _describe(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    return getattr(kind, "__name__", None) or str(kind).replace("typing.", "")
