"""A backbone out of a file of any library: found by structure, whole or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from moco.errors import MocoError
from moco.foreign.architecture import Architecture
from moco.foreign.containers import Contents, Tensors
from moco.foreign.elsewhere import made_elsewhere
from moco.foreign.prefixes import LISTED, Found, Near, backbones, backbones_named, below, beside, choose, once
from moco.foreign.told import as_told, heads_of, refuse_what_computes_otherwise
from moco.recipe.vit import vit_name


@dataclass(frozen=True)
class Backbone:
    """A backbone in memory, with what there is to say about where it came from."""

    net: nn.Module
    """In eval mode, in fp32: images N x `architecture.channels` x S x S to features N x D."""
    architecture: Architecture
    prefix: str
    dialect: str
    """Whose names it has."""
    notes: tuple[str, ...]
    """A sentence each: which of several it is, what was left aside, another precision, another number of channels."""


def find_backbone(held: Contents, path: Path, asked: str | None = None, named: Architecture | None = None) -> Found:
    """The backbone that is meant, of the named architecture or of any; looks at names and shapes alone.

    Raises MocoError where none fits completely, or several do and none is known to be meant.
    """
    shapes = {name: tensor.to("meta") for name, tensor in held.tensors.items()}
    if not shapes:
        told = f"; it holds objects of {', '.join(sorted(held.objects)[:3])}" if held.objects else ""
        raise MocoError(f"{path} holds no tensors{told}")
    _refuse_what_is_not_there(shapes, path)
    found, near = backbones(shapes, held.words) if named is None else backbones_named(shapes, named)
    if not found and any(re.search("_rebuild_wrapper_subclass|ShardedTensor", name) for name in held.objects):
        raise MocoError(f"{path} holds parts of tensors that several processes share (DTensor); save a full state dict")
    if not found:
        raise MocoError(f"{path} {_why_none(shapes, near, path, named)}")
    try:
        chosen = choose(found if asked else once(found, held.tensors), asked)
    except MocoError as error:
        raise MocoError(f"{path}: {error}; name one: {path}#PREFIX") from None
    meant = as_told(chosen, held, shapes)
    if named is None:
        refuse_what_computes_otherwise(meant, held, path)
        return meant
    if vit_name(named.name or "") is None:
        _refuse_other_heads(meant.architecture, named, path)
    return chosen if chosen.architecture.channels != 3 else replace(chosen, architecture=named)


def read_backbone(held: Contents, path: Path, asked: str | None = None, named: Architecture | None = None) -> Backbone:
    """The backbone of a file, and what there is to say about it.

    Empties `held` of all tensors that are not needed, before it takes memory for others. Raises MocoError as
    `find_backbone`, and where weights are quantised or not finite.
    """
    found = find_backbone(held, path, asked, named)
    inside = below(held.tensors, found.prefix)
    ours = found.translate(inside)
    names = found.architecture.outline.state_dict()
    notes = _notes(held, found, {found.prefix + k for k in _sources(inside, ours, set(names))})
    held.tensors.clear()
    inside.clear()
    kept = {k: ours[k] for k in names if k in ours}
    ours.clear()
    net = found.architecture.make()
    precision = fill_(net, kept, path)
    return Backbone(net.eval(), found.architecture, found.prefix, found.dialect, (*notes, *precision))


def fill_(net: nn.Module, tensors: Tensors, path: Path) -> list[str]:
    """Copy named tensors into a net that they fit, in its precision; what there is to say about theirs.

    Raises MocoError where they are whole numbers (quantised) or not finite.
    """
    wanted = net.state_dict()
    kinds: set[torch.dtype] = set()
    for name, to in wanted.items():
        if name not in tensors:
            assert name.endswith("num_batches_tracked"), name
            continue
        given = tensors.pop(name)
        if to.is_floating_point():
            if not given.is_floating_point() or given.dtype.itemsize == 1:
                raise MocoError(
                    f"{path}: {name} is {_kind(given)}: quantised weights, which train no further; give fp32 or fp16"
                )
            kinds.add(given.dtype)
            if not bool(torch.isfinite(given).all()):
                raise MocoError(f"{path}: {name} holds numbers that are not finite; its training went wrong")
        to.copy_(given)
    other = sorted(str(kind).removeprefix("torch.") for kind in kinds - {torch.float32})
    return [f"its weights are {', '.join(other)}, used as float32"] if other else []


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _sources(inside: Tensors, ours: Tensors, names: set[str]) -> set[str]:
    """The library's names of what is used: those that are no head."""
    by_tensor = {id(tensor): name for name, tensor in inside.items()}
    heads = {by_tensor[id(tensor)] for name, tensor in ours.items() if name not in names and id(tensor) in by_tensor}
    return set(inside) - heads


def _notes(held: Contents, found: Found, used: set[str]) -> list[str]:
    architecture = found.architecture
    left = beside(held.tensors, found.prefix, used)
    notes = [f"taken: {architecture.about}, {found.place}" + (f"; left aside: {left}" if left else "")]
    if held.objects:
        notes.append(f"objects that were left unmade: {', '.join(sorted(held.objects)[:4])}")
    if found.dialect == LISTED and architecture.about.startswith("timm:"):
        notes.append(
            f"{architecture.about} is the first of timm's models with these names and shapes; if it is another "
            "(tf_..., say, pads otherwise), timm:NAME=FILE says which"
        )
    notes += found.notes
    if architecture.channels != 3:
        notes.append(
            f"its first convolution takes {architecture.channels} channels, in the order and scale it was trained on"
        )
    return notes


def _refuse_what_is_not_there(shapes: Tensors, path: Path) -> None:
    empty = [name for name, tensor in shapes.items() if tensor.numel() == 0]
    if len(empty) > len(shapes) // 4:
        raise MocoError(
            f"{path} has names and no numbers ({', '.join(empty[:2])}, ...), as each process of FSDP or of DeepSpeed's "
            "stage 3 writes them; join the parts first (zero_to_fp32.py, or a full state dict)"
        )


def _why_none(shapes: Tensors, near: list[Near], path: Path, named: Architecture | None) -> str:
    if named is None and (other := made_elsewhere(shapes)) is not None:
        return f"holds {other}: that is not made here; give a ResNet, a ViT, a ConvNeXt, or a model by timm's own names"
    if near and named is not None:
        return f"does not fit {named.about}: {min(near, key=lambda one: one.why.size).why.told}; name another one"
    if near:
        best = min(near, key=lambda one: one.why.size)
        return (
            f"does not fit {best.architecture.about}, the nearest architecture: {best.why.told}; "
            f"name another one: torchvision:NAME={path} or timm:NAME={path}"
        )
    return (
        f"fits no architecture that is known (it holds {', '.join(list(shapes)[:3])}, ...); "
        f"name it: torchvision:NAME={path} or timm:NAME={path}"
    )


def _refuse_other_heads(found: Architecture, named: Architecture, path: Path) -> None:
    """Heads of attention have no shape of their own: what the file tells of them must be what the named net has."""
    told, has = heads_of(found.outline), heads_of(named.outline)
    if told and has and told != has:
        raise MocoError(
            f"{path}: its attention has {max(told)} heads, {named.about} has {max(has)}; give the file alone"
        )
