"""What cannot be meant is refused in one sentence: the argument, what it is, and what to give instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from moco.arguments import words
from moco.errors import MocoError

UNIT = 1e-2
"""A length may differ from 1 by as much: what is left of a vector that was normalised in bf16."""

Kind = Literal["floating", "uint8", "integer"]

_KINDS = {"floating": "floating point", "uint8": "uint8", "integer": "integers"}

_looked: set[tuple[str, str, str]] = set()
"""Arguments on devices whose values were read once: reading them in each step would make the host wait."""


def tensor(function: str, name: str, x: object, axes: str, kind: Kind, advice: str) -> Tensor:
    """x, which is a tensor of these axes (`N x C`) and of this kind, with something in it; else MocoError."""
    whole = isinstance(x, Tensor) and x.ndim == axes.count(" x ") + 1 and x.numel() > 0
    if not whole or not _is(x, kind):
        raise MocoError(f"moco.{function}: {name} is {words(x)}; give {axes} of {_KINDS[kind]}: {advice}")
    assert isinstance(x, Tensor)
    return x


def vectors(function: str, name: str, x: object, advice: str = "one row for each image") -> Tensor:
    """x, which is N x C of floating point."""
    return tensor(function, name, x, "N x C", "floating", advice)


def unit_vectors(function: str, name: str, x: object, always: bool = True) -> Tensor:
    """x, which is N x C, each row of length 1.

    On a GPU only the first call looks, as reading waits for the device; so it is anywhere where not `always`.
    """
    rows = vectors(function, name, x, "queries, keys and what they are compared with, of unit length")
    if not _readable(function, name, rows, always):
        return rows
    lengths = rows.detach().float().norm(dim=1)
    off = (lengths - 1).abs()
    if not bool((off <= UNIT).all()):
        row = int(torch.where(off.isnan(), torch.inf, off).argmax())
        raise MocoError(
            f"moco.{function}: {name} is {words(x)}, whose row {row} has length {float(lengths[row]):.3g}, not 1; "
            "normalise it: torch.nn.functional.normalize(x, dim=1)"
        )
    return rows


def classes(function: str, name: str, x: object, rows: int, of: str) -> Tensor:
    """x, which is N integers from 0 on, one for each of `rows` rows of `of`."""
    labels = tensor(function, name, x, "N", "integer", "the number of each row's class, from 0 on")
    if len(labels) != rows:
        raise MocoError(f"moco.{function}: {name} is {words(x)}, for {rows} rows of {of}; give one class for each row")
    if labels.device.type != "meta" and int(labels.min()) < 0:
        raise MocoError(
            f"moco.{function}: {name} is {words(x)}, with a class {int(labels.min())}; number the classes from 0 on"
        )
    return labels


def together(function: str, given: Mapping[str, object]) -> None:
    """Refuse tensors on more than one device; what is no tensor is left out."""
    devices = {name: x.device for name, x in given.items() if isinstance(x, Tensor)}
    if len(set(devices.values())) > 1:
        where = ", ".join(f"{name} on {device}" for name, device in devices.items())
        one = next(iter(devices.values()))
        raise MocoError(f"moco.{function}: {where}; put all of them on one device, such as x.to({str(one)!r})")


def same_width(function: str, one: str, a: Tensor, other: str, b: Tensor) -> None:
    """Refuse rows of different lengths."""
    if a.shape[1] != b.shape[1]:
        raise MocoError(
            f"moco.{function}: {one} is {words(a)} and {other} is {words(b)}; give both the same number of columns"
        )


def same_shape(function: str, one: str, a: Tensor, other: str, b: Tensor) -> None:
    """Refuse tensors of different shapes."""
    if a.shape != b.shape:
        raise MocoError(f"moco.{function}: {one} is {words(a)} and {other} is {words(b)}; give both the same shape")


def number(
    function: str, name: str, x: object, *, least: float, most: float = float("inf"), whole: bool = False
) -> None:
    """Refuse what is no number, or none from `least` to `most`."""
    kind = isinstance(x, int) if whole else isinstance(x, int | float)
    if not (kind and not isinstance(x, bool) and least <= x <= most) or x == float("inf"):  # type: ignore[operator]
        what = "a whole number" if whole else "a number"
        upto = f"from {least:g} to {most:g}" if most < float("inf") else f"of at least {least:g}"
        raise MocoError(f"moco.{function}: {name} is {words(x)}; give {what} {upto}")


def positive(function: str, name: str, x: object) -> None:
    """Refuse what is no number above zero."""
    fine = isinstance(x, int | float) and not isinstance(x, bool) and 0 < x < float("inf")
    if not fine:
        raise MocoError(f"moco.{function}: {name} is {words(x)}; give a number above 0")


def instance(function: str, name: str, x: object, kind: type | tuple[type, ...], advice: str) -> None:
    """Refuse what is of another type."""
    if not isinstance(x, kind):
        raise MocoError(f"moco.{function}: {name} is {words(x)}; {advice}")


def _is(x: Any, kind: Kind) -> bool:
    match kind:
        case "floating":
            return bool(x.is_floating_point())
        case "uint8":
            return bool(x.dtype == torch.uint8)
        case "integer":
            return not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)


def _readable(function: str, name: str, x: Tensor, always: bool) -> bool:
    """Whether looking at values is cheap: on a CPU, elsewhere only once, and never inside a compiled graph."""
    if torch.compiler.is_compiling() or x.device.type == "meta":
        return False
    place = (function, name, str(x.device))
    if not (always and x.device.type == "cpu") and place in _looked:
        return False
    _looked.add(place)
    return True
