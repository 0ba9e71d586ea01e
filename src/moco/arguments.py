"""Arguments and fields of another type than they say, refused in one sentence: which, what it is, and what to give."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from moco.errors import MocoError

P = ParamSpec("P")
R = TypeVar("R")

_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "True or False", type(None): "None"}


def of_its_types(*but: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: the function raises MocoError where an argument is not of the type that its signature gives it.

    `but` names those that the function looks at itself. What no look can decide (the arguments of a callable, a
    protocol) is let through.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            kinds = typing.get_type_hints(function)
            given = inspect.signature(function).bind(*args, **kwargs).arguments
            for name in given.keys() - set(but):
                if not fits(kinds[name], value := given[name]):
                    raise MocoError(f"moco.{function.__name__}: {name} is {words(value)}; give {wanted(kinds[name])}")
            return function(*args, **kwargs)

        return checked

    return wrap


def refuse_other_types(part: Any, prefix: str) -> None:
    """Raise MocoError where a field of a dataclass, or of one in it, is not of its type; `prefix` is as in a flag."""
    for name, kind in typing.get_type_hints(type(part)).items():
        value, flag = getattr(part, name), f"{prefix}{name.replace('_', '-')}"
        if not fits(kind, value):
            raise MocoError(f"{flag} is {words(value)}; give {wanted(kind)}")
        if dataclasses.is_dataclass(value):
            refuse_other_types(value, f"{flag}.")


def fits(kind: Any, value: object) -> bool:
    """Whether a value is of an annotation's type: a whole number does for a real one, a bool for neither."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or (isinstance(kind, type) and getattr(kind, "_is_protocol", False)):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(one, value) for one in inner)
    if origin is typing.Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin is tuple:
        kinds = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1] is Ellipsis else inner
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(fits, kinds, value))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin in (list, Sequence):
        return isinstance(value, Sequence) and not isinstance(value, str) and all(fits(inner[0], v) for v in value)
    if origin is not None:  # Mapping, PathLike, Callable: what is in them shows when it is used
        return isinstance(value, origin)
    return isinstance(value, kind)


def wanted(kind: Any) -> str:
    """A type in words, as a sentence says what to give: `text, a path or None`."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        *first, last = dict.fromkeys(map(wanted, inner))
        return f"{', '.join(first)} or {last}" if first else last
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if origin is tuple:
        return f"a tuple, each {wanted(inner[0])}" if inner[-1] is Ellipsis else f"a tuple of {len(inner)} values"
    if origin in (list, Sequence):
        return f"a list, each {wanted(inner[0])}"
    if origin is os.PathLike:
        return "a path"
    if origin in (dict, Mapping):
        return "a dict"
    if origin is Callable:
        return "a function"
    return _WORDS.get(kind) or _one(getattr(kind, "__name__", str(kind)))


def words(x: object) -> str:
    """What an argument is, as a sentence says it: `a tensor of 4 x 128, float32, on cpu`."""
    shape, kind = getattr(x, "shape", None), type(x).__name__
    if isinstance(x, type) or shape is None:
        return f"{x!r:.60}" if isinstance(x, int | float | str | None) else _one(kind)
    axes = " x ".join(map(str, shape)) or "no dimensions"
    if hasattr(x, "device") and hasattr(x, "requires_grad"):
        return f"a tensor of {axes}, {str(getattr(x, 'dtype', '')).removeprefix('torch.')}, on {x.device}"
    return f"{_one(kind)} of {axes}"


def _one(kind: str) -> str:
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
