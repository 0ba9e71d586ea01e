"""Cityscapes' layout: leftImg8bit/PART/CITY/x_leftImg8bit.png and gtFine/PART/CITY/x_gtFine_*."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from moco.errors import MocoError
from moco.transfer.layouts.annotated import Annotated, Complaints, Part, Thing
from moco.transfer.layouts.outlines import packed

THINGS = {24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"}
"""The eight classes with instances, by Cityscapes' own numbers."""

STUFF = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", **THINGS,
}  # fmt: skip
"""The nineteen classes of the semantic task; what is none of them is void."""

_NUMBERS = {name: number for number, name in STUFF.items()}


def read_cityscapes(data: Path, train: str | None, test: str | None) -> tuple[Part, Part]:
    """(train, test) with instances, from *_instanceIds.png, or else from polygons (*_polygons.json)."""
    numbers, names = tuple(THINGS), tuple(THINGS.values())
    parts = []
    for part in (train or "train", test or "val"):
        complaints, images, count = Complaints(), [], 0
        for image, stem in _images(data, part):
            polygons, ids = (stem.with_name(f"{stem.name}_{end}") for end in ("polygons.json", "instanceIds.png"))
            with Image.open(image) as opened:
                width, height = opened.size
            if ids.exists():
                values = _read_ids(ids, width, height, complaints)
            elif polygons.exists():
                values = _painted(polygons, width, height, complaints)
            else:
                complaints.add(str(image), f"there is neither {ids} nor {polygons}")
                continue
            if values is None:
                continue
            found = tuple(_things(values))
            count += len(found)
            images.append(Annotated(str(image), image, stem.name, width, height, found, void=_void(values)))
        total = count + len(complaints.found)
        found_all = tuple(complaints.found)
        where = f"Cityscapes {data}, {part}"
        parts.append(Part(tuple(images), names, numbers, complaints=found_all, annotations=total, source=where))
    return parts[0], parts[1]


def read_cityscapes_masks(data: Path, train: str | None, test: str | None) -> tuple[Part, Part]:
    """(train, test) with label images, *_labelIds.png, of which nineteen classes count."""
    parts = []
    for part in (train or "train", test or "val"):
        complaints, images = Complaints(), []
        for image, stem in _images(data, part):
            mask = stem.with_name(f"{stem.name}_labelIds.png")
            if not mask.exists():
                complaints.add(str(image), f"there is no {mask}")
                continue
            with Image.open(image) as opened:
                images.append(Annotated(str(image), image, stem.name, *opened.size, mask=mask))
        values = tuple((number, i) for i, number in enumerate(STUFF))
        count = len(images) + len(complaints.found)
        names, found, where = tuple(STUFF.values()), tuple(complaints.found), f"Cityscapes {data}, {part}"
        parts.append(Part(tuple(images), names, complaints=found, annotations=count, values=values, source=where))
    return parts[0], parts[1]


def _images(data: Path, part: str) -> list[tuple[Path, Path]]:
    """(image, beginning of its annotations' names)."""
    folder = data / "leftImg8bit" / part
    found = sorted(folder.rglob("*_leftImg8bit.png"))
    if not found:
        raise MocoError(f"--data {data} has no images leftImg8bit/{part}/CITY/*_leftImg8bit.png")
    fine = data / "gtFine" / part
    return [(p, fine / p.parent.name / p.name.replace("_leftImg8bit.png", "_gtFine")) for p in found]


def _painted(file: Path, width: int, height: int, complaints: Complaints) -> NDArray[np.int64] | None:
    """The image of instance numbers that Cityscapes' own tool paints from polygons: later ones cover earlier ones."""
    try:
        objects = list(json.loads(file.read_text(encoding="utf-8"))["objects"])
        named = [(str(one["label"]), [(float(x), float(y)) for x, y in one["polygon"]]) for one in objects]
    except (ValueError, KeyError, TypeError) as error:
        complaints.add(str(file), f"no JSON of Cityscapes' polygons ({error})")
        return None
    picture = Image.new("I", (width, height), 0)
    drawing = ImageDraw.Draw(picture)
    counts = dict.fromkeys(THINGS, 0)
    for number, (name, polygon) in enumerate(named):
        value = _NUMBERS.get(name, _NUMBERS.get(name.removesuffix("group"), 0))
        if len(polygon) < 3:
            complaints.add(f"{file}, object {number}", "a polygon has at least three points")
            continue
        if value in THINGS and name in _NUMBERS:
            counts[value] += 1
            value = value * 1000 + counts[value] - 1
        drawing.polygon(polygon, fill=value)
    return np.asarray(picture).astype(np.int64)


def _read_ids(file: Path, width: int, height: int, complaints: Complaints) -> NDArray[np.int64] | None:
    with Image.open(file) as opened:
        ids = np.asarray(opened).astype(np.int64)
    if ids.shape == (height, width):
        return ids
    complaints.add(str(file), f"it is of {ids.shape[1]} x {ids.shape[0]} pixels, its image of {width} x {height}")
    return None


def _things(ids: NDArray[np.int64]) -> list[Thing]:
    """A thing for each instance of a class that counts; a crowd for each group."""
    by_number = {number: i for i, number in enumerate(THINGS)}
    things = []
    for value in np.unique(ids).tolist():
        crowd = value < 1000
        label = by_number.get(value if crowd else value // 1000)
        if label is not None:
            things.append(_thing((ids == value).astype(np.uint8), label, crowd))
    return things


def _void(ids: NDArray[np.int64]) -> dict[str, Any]:
    """Where nothing is judged, as run lengths."""
    kinds = np.where(ids >= 1000, ids // 1000, ids)
    return packed((~np.isin(kinds, list(STUFF))).astype(np.uint8))


def _thing(mask: NDArray[np.uint8], label: int, crowd: bool) -> Thing:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    return Thing(box, label, float(mask.sum()), crowd, packed(mask))
