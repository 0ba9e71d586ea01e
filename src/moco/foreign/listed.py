"""Architectures that only their library's own list tells: torchvision's and timm's models, compared name by name.

Families first: of each, one model is outlined, and the rest only where most of its names are in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from torch import nn
from torchvision import models

from moco.backbones import make_backbone
from moco.errors import MocoError
from moco.foreign.architecture import Architecture, Misfit, misfit
from moco.foreign.containers import Tensors

_ALIKE = 0.7
"""Share of names, numbers aside, that a file and a model of its family have in common, of the fewer of the two."""


def listed(tensors: Tensors, words: Mapping[str, Any]) -> Iterator[tuple[str, Architecture, bool]]:
    """(prefix, the model, whether the file itself names it) of the sets of names that a listed model fits completely.

    The first model of the most alike family; in a family the shortest name comes first.
    """
    tried: set[str] = set()
    for name in _named(words):
        found = list(_fits(tensors, name))
        yield from ((prefix, one, True) for prefix, one in found)
        if found:
            return
        tried.add(name)
    families = [*_torchvision_families(), *_timm_families(tensors)]
    alike = [(_alike(tensors, family[0]), family) for family in families]
    for _, family in sorted((pair for pair in alike if pair[0] >= _ALIKE), key=lambda pair: -pair[0]):
        for name in family:
            found = list(_fits(tensors, name)) if name not in tried else []
            yield from ((prefix, one, False) for prefix, one in found)
            if found:
                return


@cache
def architecture(name: str) -> Architecture:
    """The listed model of this name, as `build_backbone` takes it."""
    return Architecture(name, partial(make_backbone, name), name)


def with_channels(first: str, channels: int, of: Architecture) -> nn.Module:
    """The model with a first convolution, called `first`, of other channels."""
    net = of.make()
    old = net.get_submodule(first)
    assert isinstance(old, nn.Conv2d)
    old.in_channels = channels
    shape = (old.out_channels, channels // old.groups, *old.kernel_size)
    old.weight = nn.Parameter(old.weight.new_empty(shape))
    nn.init.kaiming_normal_(old.weight, mode="fan_out", nonlinearity="relu")
    return net


def first_name(one: Architecture) -> str:
    """The name of a model's first convolution, or of its first tensor where it has none."""
    names = one.outline.state_dict()
    return next((name for name, tensor in names.items() if tensor.ndim == 4), next(iter(names)))


def other_channels(inside: Tensors, one: Architecture, why: Misfit) -> Architecture | None:
    """The same model for other channels, where its first convolution is all that does not fit, and by that alone."""
    if why.size != 1 or not why.wrong:
        return None
    name = why.wrong[0]
    wanted, has = one.outline.state_dict()[name].shape, inside[name].shape
    first = next((n for n, m in one.outline.named_modules() if isinstance(m, nn.Conv2d)), None)
    if len(has) != 4 or has[0] != wanted[0] or has[2:] != wanted[2:] or f"{first}.weight" != name or first is None:
        return None
    channels = int(has[1])
    return replace(one, channels=channels, name=None, make=partial(with_channels, first, channels, one))


def _fits(tensors: Tensors, name: str) -> Iterator[tuple[str, Architecture]]:
    if not _usable(name):
        return
    one = architecture(name)
    for prefix, inside in _below(tensors, first_name(one)):
        why = misfit(inside, one)
        other = other_channels(inside, one, why) if why is not None else one
        if other is not None:
            yield prefix, other


def _below(tensors: Tensors, first: str) -> Iterator[tuple[str, Tensors]]:
    for prefix in [name[: -len(first)] for name in tensors if name == first or name.endswith(f".{first}")]:
        yield prefix, {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def _alike(tensors: Tensors, name: str) -> float:
    """How much of the names of a model and of the most alike part of a file is in both."""
    wanted = {_plain(k) for k in architecture(name).outline.state_dict()}
    parts = ({_plain(k) for k in inside} for _, inside in _below(tensors, first_name(architecture(name))))
    return max((len(wanted & part) / min(len(wanted), len(part)) for part in parts), default=0.0)


def _plain(name: str) -> str:
    return re.sub(r"\d+", "N", name)


def _named(words: Mapping[str, Any]) -> Iterator[str]:
    """Models that the file itself names."""
    for place, word in words.items():
        if place.split(".")[-1] in ("arch", "architecture", "model_name", "model") and isinstance(word, str):
            if word in models.list_models(module=models):
                yield word
            if in_timm(word):
                yield f"timm:{word}"


def in_timm(name: str) -> bool:
    """Whether timm has a model of this name; False where it is not installed."""
    try:
        import timm
    except ImportError:
        return False
    return bool(re.fullmatch(r"[\w.]+", name)) and bool(timm.is_model(name))


def _usable(name: str) -> bool:
    try:
        return bool(architecture(name).outline)
    except (MocoError, RuntimeError, NotImplementedError):
        return False  # a model that has no classifier to take off, or cannot be outlined


def _torchvision_families() -> Iterator[Sequence[str]]:
    rooms: dict[str, list[str]] = {}
    for name in models.list_models(module=models):
        rooms.setdefault(models.get_model_builder(name).__module__, []).append(name)
    yield from ([name for name in names if _usable(names[0])] for names in rooms.values() if _usable(names[0]))


def _timm_families(tensors: Tensors) -> Iterator[Sequence[str]]:
    """Of those models whose first convolution has a name that is in the file."""
    try:
        import timm
        from timm.models import model_entrypoint
    except ImportError:
        return
    ends = {".".join(name.split(".")[-n:]) for name in tensors for n in (2, 3, 4)}
    rooms: dict[str, list[str]] = {}
    for name in timm.list_models():
        told = timm.get_pretrained_cfg(name)
        first = getattr(told, "first_conv", None) if told else None
        for one in [first] if isinstance(first, str) else first or []:
            if f"{one}.weight" in ends:
                rooms.setdefault(model_entrypoint(name).__module__, []).append(f"timm:{name}")
    for names in rooms.values():
        names.sort(key=len)  # the plain ones first
        if _usable(names[0]):
            yield [name for name in names if _usable(name)] if len(names) < 3 else names
