"""Cityscapes' layout: leftImg8bit/PART/CITY/x_leftImg8bit.png and gtFine/PART/CITY/x_gtFine_*."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from moco.errors import MocoError
from moco.transfer.layouts.annotated import Annotated, Complaints, Part, Thing
from moco.transfer.layouts.outlines import packed, pixels, trouble

THINGS = {24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"}
"""The eight classes with instances, by Cityscapes' own numbers."""

STUFF = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", **THINGS,
}  # fmt: skip
"""The nineteen classes of the semantic task."""


def read_cityscapes(data: Path, train: str | None, test: str | None) -> tuple[Part, Part]:
    """(train, test) with instances, from polygons (*_polygons.json), or else from *_instanceIds.png."""
    numbers, names = tuple(THINGS), tuple(THINGS.values())
    parts = []
    for part in (train or "train", test or "val"):
        complaints, images, count = Complaints(), [], 0
        for image, stem in _images(data, part):
            polygons, ids = (stem.with_name(f"{stem.name}_{end}") for end in ("polygons.json", "instanceIds.png"))
            with Image.open(image) as opened:
                width, height = opened.size
            if polygons.exists():
                found = _from_polygons(polygons, width, height, complaints)
            elif ids.exists():
                found = _from_ids(ids, width, height, complaints)
            else:
                complaints.add(str(image), f"there is neither {polygons} nor {ids}")
                continue
            count += len(found)
            images.append(Annotated(str(image), image, stem.name, width, height, tuple(found)))
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


def _from_polygons(file: Path, width: int, height: int, complaints: Complaints) -> list[Thing]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        objects: list[dict[str, Any]] = list(content["objects"])
    except (ValueError, KeyError, TypeError) as error:
        complaints.add(str(file), f"no JSON of Cityscapes' polygons ({error})")
        return []
    by_name = {name: i for i, name in enumerate(THINGS.values())}
    things = []
    for number, one in enumerate(objects):
        name = str(one.get("label", ""))
        crowd = name.endswith("group")
        if (label := by_name.get(name.removesuffix("group"))) is None:
            continue
        where = f"{file}, object {number}"
        outline = [[float(v) for point in one.get("polygon", []) for v in point]]
        if wrong := trouble(outline, width, height):
            complaints.add(where, wrong)
            continue
        mask = pixels([outline], width, height)[0]  # polygons may leave the image; what is seen counts
        if (thing := _thing(mask, label, crowd)) is None:
            complaints.add(where, "the polygon covers no pixel")
        else:
            things.append(thing)
    return things


def _from_ids(file: Path, width: int, height: int, complaints: Complaints) -> list[Thing]:
    with Image.open(file) as opened:
        ids = np.asarray(opened).astype(np.int64)
    if ids.shape != (height, width):
        complaints.add(str(file), f"it is of {ids.shape[1]} x {ids.shape[0]} pixels, its image of {width} x {height}")
        return []
    by_number = {number: i for i, number in enumerate(THINGS)}
    things = []
    for value in np.unique(ids).tolist():
        crowd = value < 1000
        label = by_number.get(value if crowd else value // 1000)
        if label is not None and (thing := _thing((ids == value).astype(np.uint8), label, crowd)) is not None:
            things.append(thing)
    return things


def _thing(mask: np.ndarray[Any, np.dtype[np.uint8]], label: int, crowd: bool) -> Thing | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    return Thing(box, label, float(mask.sum()), crowd, packed(mask))
