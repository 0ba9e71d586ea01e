"""What `moco export` tells of an encoder in export.json beside its file: what names and shapes do not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from moco.foreign.containers import Contents, Tensors, contents
from moco.foreign.prefixes import Found, below
from moco.foreign.resnets import PlannedResNet, read_plan

RECORD = "export.json"
"""In every folder that an export has written: what it is, and how far it was from the original."""

TOLD = ("image_size", "mean", "std", "architecture")
"""What of it a file needs to be opened again as it was; safetensors keep it in themselves too, as `export`."""


def files_of(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of an export by its place below the folder; the record itself is none of them."""
    return {str(p.relative_to(folder)): _digest(p) for p in sorted(_files(folder))}


def first_not_exported(folder: Path) -> Path | None:
    """A file in a folder that no export wrote, or that was changed since; None where all is as an export left it."""
    known = _record(folder).get("files")
    if not isinstance(known, dict):
        return next((p for p in folder.rglob("*") if p.is_file()), None)
    for path in _files(folder):
        name = str(path.relative_to(folder))
        if name not in known or _digest(path) != known[name]:
            return path
    return None


def told_inside(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """What the metadata of a safetensors file tell; nothing where no export wrote them."""
    try:
        told = json.loads((metadata or {}).get("export", "null"))
    except ValueError:
        return {}
    return {"export": told} if isinstance(told, dict) and told.keys() == set(TOLD) else {}


def words_beside(place: Path) -> dict[str, Any]:
    """What the record beside an exported file, or in its folder, tells, by `export.` and its names; else nothing."""
    record = _record(place if place.is_dir() else place.parent)
    if not isinstance(record.get("files"), dict) or (place.is_file() and place.name not in record["files"]):
        return {}
    return contents({"export": {key: record.get(key) for key in TOLD}}).words


def settings_of(words: Mapping[str, Any]) -> dict[str, Any]:
    """Size and normalisation in the words of a preprocessor_config.json; empty where nothing was told."""
    mean, std = ([words[k] for k in words if k.startswith(f"export.{part}.")] for part in ("mean", "std"))
    if "export.image_size" not in words or not len(mean) == len(std) == 3:  # of other than photographs: not by numbers
        return {}
    return {"size": words["export.image_size"], "image_mean": mean, "image_std": std}


def with_its_stride(found: Found, held: Contents, shapes: Tensors) -> Found:
    """The ResNet whose first convolution of 3x3 has a stride of 2, where an export says so."""
    plan = read_plan(found.translate(below(shapes, found.prefix)))
    if found.architecture.stem != "small" or held.words.get("export.architecture.stem.stride") != 2 or plan is None:
        return found
    return replace(
        found, architecture=replace(found.architecture, make=partial(PlannedResNet, plan, stride=2), stem="half")
    )


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.is_file() and p != folder / RECORD and p.parent.name != "__pycache__")


def _record(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
