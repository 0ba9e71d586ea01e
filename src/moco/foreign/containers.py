"""Where tensors are: nested dicts, lists and objects at any depth, as one flat dict of dotted names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moco.foreign.inert import Inert

Tensors = dict[str, Tensor]

_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""What torch.compile, FSDP and activation checkpointing put between a module and its names."""

_DEEPEST = 60


@dataclass
class Contents:
    """What a file holds."""

    tensors: Tensors = field(default_factory=dict)
    """Every tensor by where it is, such as `state_dict.module.encoder_q.conv1.weight`."""
    words: dict[str, Any] = field(default_factory=dict)
    """Strings and numbers by where they are, such as `arch` and `epoch`."""
    objects: set[str] = field(default_factory=set)
    """Classes of the objects that were left unmade."""


def contents(data: Any) -> Contents:
    """All tensors and words of nested data; the order of a state dict is kept."""
    found = Contents()
    _walk(data, (), found, set())
    return found


def _walk(data: Any, place: tuple[str, ...], found: Contents, above: set[int]) -> None:
    if id(data) in above or len(place) > _DEEPEST:
        return
    match data:
        case Tensor():
            found.tensors.setdefault(_name(place), data.detach())
        case np.ndarray() if data.dtype.kind in "fiub":
            found.tensors.setdefault(_name(place), _tensor(data))
        case bool() | int() | float() | str():
            found.words.setdefault(_name(place), data)
        case dict():
            for key, value in data.items():
                _walk(value, (*place, str(key)), found, above | {id(data)})
        case list() | tuple():
            for number, value in enumerate(data):
                _walk(value, (*place, str(number)), found, above | {id(data)})
        case Inert():
            found.objects.add(data.name)
            _walk_object(data, place, found, above | {id(data)})


def _walk_object(data: Inert, place: tuple[str, ...], found: Contents, above: set[int]) -> None:
    """An nn.Module that was pickled whole has the names of its state dict; others those of their fields."""
    state = data.state if isinstance(data.state, dict) else {}
    if {"_parameters", "_buffers", "_modules"} <= state.keys():
        passing = state.get("_non_persistent_buffers_set") or ()
        for part in ("_parameters", "_buffers", "_modules"):
            inside = state[part]
            _walk({k: v for k, v in inside.items() if k not in passing or part != "_buffers"}, place, found, above)
        return
    for inner in (data.items, data.state, data.arguments):
        _walk(inner, place, found, above)


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(array if array.flags.c_contiguous and array.flags.writeable else array.copy())


def _name(place: tuple[str, ...]) -> str:
    parts = [part for whole in place for part in whole.split(".") if part not in _WRAPPERS]
    return ".".join(parts)
