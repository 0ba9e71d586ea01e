"""`--init`: what a run starts from instead of random weights, read once, written down, and never read again.

It decides what is learnt, so the run directory keeps its name and digest (init.json), and a run that goes on is not
started again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moco import distributed
from moco.backbones import make_backbone
from moco.errors import MocoError
from moco.foreign.architecture import Architecture
from moco.foreign.containers import Contents, Tensors, contents
from moco.foreign.files import read_file, read_folder, read_place
from moco.foreign.hub import fetch
from moco.foreign.official import Official, read_official
from moco.foreign.official_v3 import OfficialV3, read_official_v3
from moco.foreign.open import find_backbone
from moco.foreign.prefixes import below
from moco.foreign.settings import refuse_what_shapes_hide, words_of
from moco.recipe import Queue, Recipe, channels_of
from moco.run.directory import BEGINNING, RunDirectory, is_run
from moco.run.encoder_file import FORMAT, read_encoder
from moco.run.load import named_architecture, split_model, split_prefix
from moco.run.tensors import read_tensors


@dataclass(frozen=True)
class Init:
    """What a run starts from, before anything of it is used."""

    given: str
    """As it was named."""
    file: str
    """Where it was; empty for weights that came from a hub."""
    digest: str
    architecture: Architecture
    backbone: Tensors = field(repr=False)
    """By our names."""
    beside: Tensors = field(repr=False)
    """What else the file holds, by its own."""
    official: Official | OfficialV3 | None = field(default=None, repr=False)
    """The whole state of a run, where it is a resumable official checkpoint."""

    def fields(self, recipe: str | Recipe, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a recipe that follow from it, but for those the user has set.

        Raises MocoError where no recipe can name its architecture.
        """
        a = self.architecture
        if a.name is None and "encoder.backbone" not in changes:
            raise MocoError(f"--init {self.given}: {a.about} has no name that a recipe could have; it can be evaluated")
        wanted: dict[str, Any] = {"encoder.backbone": a.name, "encoder.stem": a.stem}
        if isinstance(recipe, Recipe):
            wanted |= _shapes_of(self.official, recipe)
        return {name: value for name, value in wanted.items() if name not in changes}


def _shapes_of(official: Official | OfficialV3 | None, recipe: Recipe) -> dict[str, int]:
    """The fields of a recipe that the state of a run needs to go on with it, where the recipe can."""
    match official:
        case Official() if isinstance(recipe.dictionary, Queue) and official.head_layers:
            dim, size = official.queue.shape
            return {
                "encoder.dim": int(dim),
                "encoder.head_layers": official.head_layers,
                "dictionary.size": int(size),
            }
        case OfficialV3() if recipe.predictor is not None:
            return official.shape
        case _:
            return {}


def read_init(given: str) -> Init:
    """What `--init` names: a file (`FILE#PREFIX`), a run, `torchvision:NAME[=FILE]`, `timm:NAME[=FILE]`.

    Raises MocoError where it cannot be opened, fits nothing, or a hub cannot be reached.
    """
    if (model := split_model(given)) is not None:
        name, file = model
        if not file:
            weights = fetch(name)
            held = Contents(dict(weights))
            return _of_contents(given, "", _digest_of(weights), held, None, named_architecture(name))
        place, asked = split_prefix(file)
        held = contents(read_place(place))
        return _of_contents(given, place, _digest(_largest(place)), held, asked, named_architecture(name))
    place, asked = split_prefix(given)
    if not place.exists():
        raise MocoError(f"--init {given}: there is no such file or run; models are torchvision:NAME or timm:NAME")
    if place.is_dir() and is_run(place):
        return _of_run(given, RunDirectory(place))
    if place.is_dir():
        data, settings = read_folder(place)
        refuse_what_shapes_hide(settings)
        held = contents(data)
        held.words |= words_of(settings)
        return _of_contents(given, place, _digest(_largest(place)), held, asked, None)
    held = contents(read_file(place))
    if held.words.get("format") == FORMAT and asked is None:
        return _of_encoder(given, place, {})
    return _of_contents(given, place, _digest(place), held, asked, None)


def _of_contents(
    given: str, place: Path | str, digest: str, held: Contents, asked: str | None, named: Architecture | None
) -> Init:
    try:
        found = find_backbone(held, Path(place or given), asked, named)
    except MocoError as error:
        raise MocoError(f"--init {error}") from None
    inside = found.translate(below(held.tensors, found.prefix))
    names = found.architecture.outline.state_dict()
    backbone = {k: v for k, v in inside.items() if k in names}
    used = {id(v) for v in backbone.values()}
    beside = {k: v for k, v in held.tensors.items() if id(v) not in used}
    official = (read_official(held, found.prefix) or read_official_v3(held, found.prefix)) if asked is None else None
    where = str(Path(place).resolve()) if place else ""
    return Init(given, where, digest, found.architecture, backbone, beside, official)


def _of_run(given: str, run: RunDirectory) -> Init:
    if not run.encoder.exists():
        raise MocoError(f"--init {given} has no encoder yet; it is written with the first checkpoint")
    dictionary = read_tensors(run.checkpoint).get("dictionary", {}) if run.checkpoint.exists() else {}
    return _of_encoder(given, run.encoder, {f"dictionary.{k}": v for k, v in dictionary.items()})


def _of_encoder(given: str, file: Path, beside: Tensors) -> Init:
    encoder, recipe, _ = read_encoder(file)
    choice = recipe.encoder
    channels = channels_of(recipe.pixels)
    make = partial(make_backbone, choice.backbone, choice.stem, channels)
    architecture = Architecture(choice.backbone, make, choice.backbone, choice.stem, channels)
    head = {f"head.{k}": v for k, v in encoder.head.state_dict().items()}
    where = str(file.resolve())
    return Init(given, where, _digest(file), architecture, dict(encoder.backbone.state_dict()), head | beside)


@dataclass(frozen=True)
class Beginning:
    """What a run that has not started yet is to start from, and the changes of the recipe that follow from it."""

    init: Init | None
    """None: from random weights, or not at all, where the run goes on."""
    fields: dict[str, Any]


def beginning(
    run: RunDirectory, given: str | os.PathLike[str] | None, recipe: str | Recipe, changes: Mapping[str, Any]
) -> Beginning:
    """What `--init` comes to, on all processes.

    A run that goes on is as it was started: nothing is read, and its record says which changes followed then.
    """
    return distributed.on_each(lambda: _beginning(run, None if given is None else os.fspath(given), recipe, changes))


def _beginning(run: RunDirectory, given: str | None, recipe: str | Recipe, changes: Mapping[str, Any]) -> Beginning:
    if run.checkpoint.exists():
        saved = run.read(BEGINNING)
        refuse_another_init(saved, given, run.path)
        return Beginning(None, {k: v for k, v in saved.get("fields", {}).items() if k not in changes})
    if given is None:
        return Beginning(None, {})
    init = read_init(given)
    return Beginning(init, init.fields(recipe, changes))


def record(init: Init, fields: Mapping[str, Any], used: Mapping[str, Any]) -> dict[str, Any]:
    """What init.json keeps."""
    told = {"init": init.given, "file": init.file, "digest": init.digest, "about": init.architecture.about}
    return {**told, "fields": dict(fields), **used}


def refuse_another_init(saved: Mapping[str, Any], given: str | None, path: Path) -> None:
    """Raise MocoError where a run that goes on is asked to start from something else than it did."""
    if given is None:
        return
    if not saved:
        raise MocoError(f"{path} was started without --init; leave --init out to go on, or name another --out")
    if given == saved["init"]:
        file, digest = saved.get("file", ""), saved["digest"]
        if file and Path(file).is_file() and _digest(Path(file)) != digest:
            raise MocoError(f"{file} has changed since {path} was started from it; leave --init out to go on")
        return
    if _same_file(given, saved):
        return
    raise MocoError(f"{path} was started from --init {saved['init']}, not {given}; repeat it, or name another --out")


def _same_file(given: str, saved: Mapping[str, Any]) -> bool:
    place, _ = split_prefix(given)
    place = place / "encoder.pt" if place.is_dir() else place
    return place.is_file() and _digest(place) == saved["digest"]


def _largest(place: Path) -> Path:
    """The file itself, or that of a folder which holds most of its weights."""
    return max(place.iterdir(), key=lambda file: file.stat().st_size) if place.is_dir() else place


def _digest(file: Path) -> str:
    if not file.is_file():
        raise MocoError(f"there is no file {os.fspath(file)}")
    with file.open("rb") as opened:
        return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"


def _digest_of(tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name, tensor in tensors.items():
        total.update(name.encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{total.hexdigest()}"
