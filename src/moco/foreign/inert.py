"""Pickles without their code: tensors and plain data are made, every other object stays an inert record of itself.

A checkpoint often carries objects beside its tensors (an argparse.Namespace, a configuration, a whole nn.Module). Their
classes are never imported. What a pickle asks to call is not called either: it can only reach what is listed here.
"""

from __future__ import annotations

import collections
import importlib
import io
import pickle
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

_CARRIED = {
    "_codecs",
    "_thread",
    "_weakref",
    "abc",
    "argparse",
    "collections",
    "copyreg",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "inspect",
    "ipaddress",
    "logging",
    "numbers",
    "pathlib",
    "random",
    "re",
    "string",
    "threading",
    "time",
    "types",
    "typing",
    "uuid",
    "weakref",
    "zoneinfo",
}
"""Modules of the standard library whose objects checkpoints carry as data; those are not made either.

Nor is anything looked up by `getattr`, which is how pickles name a bound method or a member of an enumeration.
"""


class Refused(pickle.UnpicklingError):
    """The file asks for something that is not data; the message says for what."""


class Inert:
    """An object that was not made: the name of its class, and what it would have been made of."""

    name = "object"
    dump_patches = False
    """Of a module's class; torch asks for it in files of before version 1.6."""
    arguments: tuple[Any, ...]
    items: dict[Any, Any]
    state: Any

    def __new__(cls, *arguments: Any, **named: Any) -> Inert:
        self = object.__new__(cls)
        self.arguments, self.items, self.state = arguments, named, None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        """An item of a list."""
        self.arguments = (*self.arguments, value)

    def extend(self, values: Any) -> None:
        """Items of a list."""
        self.arguments = (*self.arguments, *values)

    add = append

    def __call__(self, *arguments: Any, **named: Any) -> Inert:
        return type(self)(*arguments, **named)


class _Call:
    """A function of the list below, which a pickle can call and not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._function(*arguments, **named)

    def __setstate__(self, state: object) -> None:
        raise Refused("it tries to change a function")


def allowed(module: str, name: str) -> Any:
    """What a pickle gets when it names `module.name`; raises Refused where that could only be code to run."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))  # of Python 2
    if (kind := _plain().get((module, name))) is not None:
        return kind
    if (function := _functions().get((module, name))) is not None:
        return _Call(function)
    if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
        return dtype
    if module == "numpy.dtypes" and isinstance(kind := getattr(np.dtypes, name, None), type):
        return kind
    top = module.split(".")[0]
    if (module, name) != ("builtins", "getattr") and top in sys.stdlib_module_names and top not in _CARRIED:
        raise Refused(f"it asks to call {module}.{name}, which is not data but code")
    return type("Inert", (Inert,), {"name": f"{module}.{name}"})


@cache
def _plain() -> dict[tuple[str, str], type]:
    kinds = (set, frozenset, bytearray, complex, slice, range, list, dict, tuple, int, float, str, bool, bytes, object)
    return {
        **{("builtins", kind.__name__): kind for kind in kinds},
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("collections", "Counter"): collections.Counter,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }


@cache
def _functions() -> dict[tuple[str, str], Callable[..., Any]]:
    made: dict[tuple[str, str], Callable[..., Any]] = {
        ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch._utils", "_rebuild_parameter"): _first,
        ("torch._utils", "_rebuild_parameter_with_state"): _first,
        ("torch._utils", "_rebuild_qtensor"): _quantised,
        ("torch._tensor", "_rebuild_from_type_v2"): _plain_tensor,
        ("torch.storage", "_load_from_bytes"): _storage,
        ("torch", "device"): torch.device,
        ("torch", "Size"): torch.Size,
        ("_codecs", "encode"): _encoded,
        ("collections", "defaultdict"): _empty,
    }
    old = importlib.import_module("numpy._core.multiarray" if hasattr(np, "_core") else "numpy.core.multiarray")
    for room in ("numpy.core", "numpy._core"):  # the name changed with NumPy 2
        made[f"{room}.multiarray", "_reconstruct"] = old._reconstruct
        made[f"{room}.multiarray", "scalar"] = old.scalar
        made[f"{room}.numeric", "_frombuffer"] = _from_buffer
    return made


def _first(data: Any, *rest: Any) -> Any:
    return data


def _plain_tensor(function: Callable[..., Any], kind: Any, arguments: Any, state: Any) -> Any:
    """Of a class derived from Tensor, or with attributes of its own: the tensor alone."""
    return function(*arguments)


def _storage(content: bytes) -> Any:
    """What a tensor is made of where `pickle` wrote it and not `torch.save`: a file of before torch 1.6 within."""
    return torch.load(io.BytesIO(content), map_location="cpu", pickle_module=InertPickle, weights_only=False)


def _empty(*factory: Any) -> dict[Any, Any]:
    return {}


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """How bytes were pickled before there was a way to."""
    return text.encode("latin1" if encoding == "latin1" else "utf-8")


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any, *rest: Any) -> Any:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _quantised(*arguments: Any, **named: Any) -> None:
    raise Refused("it is quantised: whole numbers with a scale in place of weights; give the file of before, in fp32")


class Unpickler(pickle.Unpickler):
    """Unpickles by the rules of this file."""

    def find_class(self, module: str, name: str) -> Any:
        """Never what is named, unless it is listed."""
        return allowed(module, name)


class InertPickle:
    """What `torch.load` takes as its `pickle_module`."""

    __name__ = "moco.foreign.inert"
    Unpickler = Unpickler

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        """One object of a file."""
        return Unpickler(file, **options).load()
