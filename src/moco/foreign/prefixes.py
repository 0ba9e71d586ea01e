"""Which sets of names are a backbone, and which of several is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moco.errors import MocoError
from moco.foreign import convnexts, haiku, resnets, transformers
from moco.foreign.architecture import Architecture, Misfit, misfit, one_more
from moco.foreign.containers import Tensors
from moco.foreign.dialect import Dialect, Translate
from moco.foreign.elsewhere import made_elsewhere
from moco.foreign.listed import first_name, listed, other_channels

DIALECTS: list[Dialect] = [*resnets.DIALECTS, *transformers.DIALECTS, *convnexts.DIALECTS, *haiku.DIALECTS]
"""A library's names for a family of architectures are a line here."""

LISTED, TOLD = "a list of models", "its own word for its model"
"""The dialects of what was compared with a library's models, one by one or the one that the file names."""

_FEW = 3
"""Tensors that may be strange in a file without its being taken for another model."""

_QUERY = {"q", "query", "online", "student", "base"}
_KEY = {"k", "key", "keys", "target", "teacher", "momentum", "offline", "loss"}
_KEY |= {"ema", "shadow", "averaged", "avg", "swa", "polyak", "slow", "tm"}
"""What libraries call the encoder that is trained, and the one that follows it."""


@dataclass(frozen=True)
class Found:
    """A backbone within a file."""

    prefix: str
    """What stands before its names, such as `state_dict.module.encoder_q.`; may be empty."""
    architecture: Architecture
    translate: Translate
    """The library's names below the prefix to ours."""
    dialect: str
    landmark: str
    """The name of one of its tensors, as it is in the file."""
    notes: tuple[str, ...] = ()
    """What there is to say about it that its names and shapes do not."""

    @property
    def place(self) -> str:
        """The prefix as people write it."""
        return self.prefix.rstrip(".") or "the names without a prefix"


@dataclass(frozen=True)
class Near:
    """Something that fits nearly."""

    prefix: str
    architecture: Architecture
    why: Misfit


def below(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors whose names begin with the prefix, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def backbones(tensors: Tensors, words: Mapping[str, Any]) -> tuple[list[Found], list[Near]]:
    """Every set of names that one architecture fits completely, and those that one fits nearly."""
    found, near = [], []
    for dialect in DIALECTS:
        for prefix, landmark in dialect.prefixes(list(tensors)):
            inside = dialect.translate(below(tensors, prefix))
            architecture = dialect.read(inside)
            if architecture is None:
                continue
            why = misfit(inside, architecture) or one_more(inside, architecture)
            if why is None:
                found.append(Found(prefix, architecture, dialect.translate, dialect.name, landmark))
            else:
                near.append(Near(prefix, architecture, why))
    if not found and not any(_changed(one) for one in near) and made_elsewhere(tensors) is None:
        found = [
            Found(prefix, one, dict, TOLD if told else LISTED, prefix + first_name(one))
            for prefix, one, told in listed(tensors, words)
        ]
    return found, near


def backbones_named(tensors: Tensors, named: Architecture) -> tuple[list[Found], list[Near]]:
    """Every set of names that is of this architecture, by its own names or those of a dialect; and the near ones."""
    found, near = [], []
    own = Dialect("its own", re.escape(first_name(named)), dict, lambda _: named)
    seen: set[str] = set()
    for dialect in [*DIALECTS, own]:
        for prefix, landmark in dialect.prefixes(list(tensors)):
            inside = dialect.translate(below(tensors, prefix))
            why = misfit(inside, named)
            if why is not None and (channels := other_channels(inside, named, why)) is not None:
                why, named = None, channels
            if why is not None:
                near.append(Near(prefix, named, why))
            elif prefix not in seen:
                told = dialect.read(inside) or named
                found.append(Found(prefix, told, dialect.translate, dialect.name, landmark))
                seen.add(prefix)
    return found, near


def _changed(near: Near) -> bool:
    """Not another model but a part of this one, or one with a tensor changed: models differ in each of their blocks.

    Where a whole stage is missing it may be another model all the same, such as an HRNet, which begins as a ResNet.
    """
    why = near.why
    parts: dict[str, set[str]] = {}
    for name in near.architecture.outline.state_dict():
        if not name.endswith("num_batches_tracked"):
            parts.setdefault(name.split(".")[0], set()).add(name)
    whole = not any(names <= set(why.missing) for names in parts.values())
    return why.size <= _FEW or (bool(why.missing) and not why.extra and not why.wrong and whole)


def choose(found: Sequence[Found], asked: str | None) -> Found:
    """The backbone that is meant: the asked one, the only one, or the query's by its name.

    Raises MocoError where several are left, and where the asked prefix is none of them.
    """
    if asked is not None:
        wanted = [one for one in found if one.prefix.rstrip(".") == asked.rstrip(".")]
        wanted = wanted or [one for one in found if f".{one.prefix}".endswith(f".{asked.rstrip('.')}.")]
        if len(wanted) != 1:
            raise MocoError(f"#{asked} is no backbone of it; there are {_listing(found)}")
        return wanted[0]
    if len(found) == 1:
        return found[0]
    ranks = [rank(one.prefix) for one in found]
    best = [one for one, rank in zip(found, ranks, strict=True) if rank == max(ranks)]
    if len(best) > 1:
        raise MocoError(f"it holds {len(best)} backbones, none of them known to be the query's: {_listing(best)}")
    return best[0]


def once(found: Sequence[Found], tensors: Tensors) -> list[Found]:
    """Each backbone once: a file may name the same memory several times, as where it holds a module and its wrapper."""
    first: dict[int, Found] = {}
    for one in sorted(found, key=lambda one: -rank(one.prefix)):
        first.setdefault(tensors[one.landmark].data_ptr(), one)
    return [one for one in found if any(one is kept for kept in first.values())]


def rank(prefix: str) -> int:
    """1 for what is called the query's, 0 where the words say nothing, below for what follows it."""
    words = set(re.split(r"[._]", prefix.lower()))
    return int(bool(words & _QUERY)) - 2 * int(bool(words & _KEY))


def _listing(found: Sequence[Found]) -> str:
    names = (f"#{one.place}" if one.prefix else "one without a prefix" for one in found)
    return ", ".join(f"{name} ({one.architecture.about})" for name, one in zip(names, found, strict=True))


def beside(tensors: Tensors, prefix: str, used: set[str]) -> str:
    """What a file holds beside the backbone, in few words: each part with how many tensors it has."""
    counts: dict[str, int] = {}
    for name in tensors:
        if name not in used and not name.endswith("num_batches_tracked"):
            part = _part(name, prefix)
            counts[part] = counts.get(part, 0) + 1
    shown = [f"{part} ({count} tensors)" if count > 1 else part for part, count in counts.items()]
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")


def _part(name: str, prefix: str) -> str:
    """The first part of a name in which it differs from the prefix."""
    parts, common = name.split("."), 0
    for mine, theirs in zip(parts, _pieces(prefix), strict=False):
        if mine != theirs:
            break
        common += 1
    return parts[min(common, len(parts) - 1)]


def _pieces(prefix: str) -> Iterator[str]:
    return (piece for piece in prefix.split(".") if piece)
