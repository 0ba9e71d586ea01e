"""An architecture that was read off names and shapes, and whether such names and shapes fit it completely."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from moco.foreign.containers import Tensors
from moco.recipe.parts import Stem


@dataclass(frozen=True)
class Architecture:
    """Which backbone it is, and how to make it."""

    about: str
    """In a few words."""
    make: Callable[[], nn.Module] = field(repr=False, compare=False)
    """An untrained one: images N x `channels` x S x S to features N x D."""
    name: str | None = None
    """What `--encoder.backbone` calls it; None where no name means exactly this."""
    stem: Stem = "imagenet"
    channels: int = 3
    size: int = 224
    """Side of the images it was made for, where its tensors say so."""

    @cached_property
    def outline(self) -> nn.Module:
        """Its modules, names and shapes; no memory is taken for its weights."""
        with shapes_alone():
            return self.make()


@dataclass(frozen=True)
class Misfit:
    """Why tensors are not this architecture's: names of what is missing, has no place, or has another shape."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    wrong: tuple[str, ...]
    told: str
    """All of it in a sentence."""

    @property
    def size(self) -> int:
        """How many tensors do not fit."""
        return len(self.missing) + len(self.extra) + len(self.wrong)


def misfit(tensors: Tensors, architecture: Architecture) -> Misfit | None:
    """What keeps named tensors from being exactly this backbone and a head; None where they are.

    A head is what lies beside the backbone's modules or where its classifier was, whatever its name. A tensor within
    a module that the backbone has is none: it belongs to another architecture.
    """
    net = architecture.outline
    wanted = net.state_dict()
    missing = tuple(k for k in wanted if k not in tensors and not k.endswith("num_batches_tracked"))
    wrong = tuple(k for k in wanted if k in tensors and tensors[k].shape != wanted[k].shape)
    within = {name for name, module in net.named_modules() if name and any(True for _ in _own(module))}
    extra = tuple(k for k in tensors if k not in wanted and "num_batches" not in k and _module_of(k, net) in within)
    if not (missing or wrong or extra):
        return None
    lines = [f"{len(missing)} tensors are missing ({', '.join(missing[:3])})"] if missing else []
    lines += [f"{len(extra)} have no place ({', '.join(extra[:3])})"] if extra else []
    if wrong:
        k = wrong[0]
        shapes = f"{k} is {tuple(tensors[k].shape)} in the file and {tuple(wanted[k].shape)} here"
        lines.append(f"{shapes} ({len(wrong)} such tensors)")
    return Misfit(missing, extra, wrong, "; ".join(lines))


def one_more(tensors: Tensors, architecture: Architecture) -> Misfit | None:
    """Names beside a backbone that count on where its own end, as `conv2` beside `conv1` or `layer5` beside `layer4`.

    Those are no head: the network has a longer beginning or end. None where there are none such.
    """
    roots = {name.split(".")[0] for name in architecture.outline.state_dict()}
    counted = {root.rstrip("0123456789") for root in roots if root[-1].isdigit()} - {""}
    names = {name: name.split(".")[0] for name in tensors}
    extra = tuple(
        name
        for name, root in names.items()
        if root not in roots
        and root[-1:].isdigit()
        and root.rstrip("0123456789") in counted
        and "num_batches" not in name
    )
    told = f"{len(extra)} tensors go on where it ends ({', '.join(extra[:3])})"
    return Misfit((), extra, (), told) if extra else None


def _own(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _module_of(name: str, net: nn.Module) -> str:
    """The innermost module of the net that a name lies in; empty where it lies beside all."""
    parts, inside = name.split("."), net
    for depth, part in enumerate(parts[:-1]):
        if part not in inside._modules or inside._modules[part] is None:
            return ".".join(parts[:depth])
        inside = inside.get_submodule(part)
    return ".".join(parts[:-1])


class _OnMeta(TorchFunctionMode):
    """Weights take no memory; numbers that an architecture computes with do."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros, torch.ones, torch.randn, torch.rand) and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Modules made in here have shapes and no weights."""
    with _OnMeta():
        yield
