"""What lies beside a backbone and can be started from as well: a head, a queue; and a first convolution made to fit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from moco.errors import MocoError
from moco.foreign.containers import Tensors
from moco.foreign.prefixes import rank

_QUEUES = {"queue", "memory", "bank", "dictionary", "keys"}
"""What libraries call a dictionary of keys."""


def head_in(beside: Tensors, wanted: Mapping[str, Tensor]) -> tuple[str, Tensors] | None:
    """(place, tensors by our names) of the one head of exactly these shapes, in order; None where none or several are.

    Of several, the query's by its name.
    """
    shapes = [tuple(v.shape) for k, v in wanted.items() if not k.endswith("num_batches_tracked")]
    names = [k for k in wanted if not k.endswith("num_batches_tracked")]
    groups: dict[str, list[str]] = {}
    for name in beside:
        if not name.endswith("num_batches_tracked"):
            parts = name.split(".")
            for depth in range(1, len(parts)):
                groups.setdefault(".".join(parts[:depth]), []).append(name)
    fits = {place: inside for place, inside in groups.items() if [tuple(beside[n].shape) for n in inside] == shapes}
    places = {tuple(inside): place for place, inside in sorted(fits.items())}  # the longest of several names of one
    best = [inside for inside, place in places.items() if rank(place) == max(map(rank, places.values())) >= 0]
    if len(best) != 1:
        return None
    return places[best[0]], {ours: beside[name] for ours, name in zip(names, best[0], strict=True)}


def queue_in(beside: Tensors, size: int, dim: int) -> tuple[str, Tensor, int] | None:
    """(place, K x C unit vectors, the row that is written next) of the one dictionary of so many keys."""
    found = []
    for name, tensor in beside.items():
        words = set(re.split(r"[._]", name))
        if words & _QUEUES and tensor.ndim == 2 and tensor.is_floating_point() and set(tensor.shape) == {size, dim}:
            keys = tensor if tuple(tensor.shape) == (size, dim) else tensor.T
            if torch.allclose(keys.float().norm(dim=1), torch.ones(size), atol=1e-2):
                found.append((name, keys))
    if len(found) != 1:
        return None
    name, keys = found[0]
    pointers = [beside.get(f"{name}{end}") for end in ("_ptr", "_pointer")]
    pointers.append(beside.get(f"{name.rpartition('.')[0]}.pointer"))
    pointer = next((int(p.flatten()[0]) for p in pointers if p is not None), 0)
    return name, keys.float(), pointer % size


def with_channels(weight: Tensor, channels: int) -> Tensor:
    """A first convolution (O x 3 x k x k) for images of other channels, as timm does it.

    For one channel, the three are summed. For more, they are repeated and scaled by 3 / channels, so that an image with
    the same values in every channel gives what it gave. Raises MocoError for a convolution that is not of RGB.
    """
    has = int(weight.shape[1])
    if has == channels:
        return weight
    if channels == 1 and has <= 3:
        return weight.sum(dim=1, keepdim=True)
    if has != 3:
        raise MocoError(
            f"its first convolution takes {has} channels and this run's {channels}: only one of 3 can be adapted"
        )
    return weight.repeat(1, math.ceil(channels / 3), 1, 1)[:, :channels] * (3 / channels)
