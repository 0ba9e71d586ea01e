"""COCO's layout: a JSON file of instances or keypoints and a folder of images; LVIS's is the same with more in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from moco.errors import MocoError
from moco.transfer.layouts.annotated import Annotated, Complaints, Part, Thing
from moco.transfer.layouts.outlines import trouble

_Json = dict[str, Any]


def read_coco(data: Path, train: str | None, test: str | None) -> tuple[Part, Part]:
    """(train, test) with boxes and masks. `train` and `test` are files in `annotations/`, or paths.

    Without names: instances_train*.json and instances_val*.json. Raises MocoError where there are none, or a file is
    JSON of another kind.
    """
    return _read_both(data, train, test, "instances", _instance)


def read_keypoints(data: Path, train: str | None, test: str | None) -> tuple[Part, Part]:
    """(train, test) with keypoints: person_keypoints_train*.json and person_keypoints_val*.json, any skeleton."""
    return _read_both(data, train, test, "person_keypoints", _posed)


def read_lvis(data: Path, train: str | None, test: str | None) -> tuple[Part, Part]:
    """(train, test) of LVIS: lvis_v*_train.json and lvis_v*_val.json, with what is known to be absent."""
    return _read_both(data, train, test, "lvis", _instance)


_Read = Callable[[_Json, str, Annotated, Part, Complaints], Thing | None]


def _read_both(data: Path, train: str | None, test: str | None, kind: str, read: _Read) -> tuple[Part, Part]:
    files = [_file(data, named, kind, part) for named, part in ((train, "train"), (test, "val"))]
    known = _loaded(files[0])
    first = _part(data, files[0], known, None, read)
    return first, _part(data, files[1], _loaded(files[1]), first, read)


def _file(data: Path, named: str | None, kind: str, part: str) -> Path:
    flag = "train" if part == "train" else "test"
    if named is not None:
        for path in (data / "annotations" / named, data / named, Path(named)):
            if path.is_file():
                return path
        raise MocoError(f"--{flag} {named}: no such file in {data / 'annotations'}, {data} or here")
    for folder in (data / "annotations", data):
        if found := sorted(folder.glob(f"{kind}*{part}*.json")):
            return found[-1]
    raise MocoError(f"--data {data} has no annotations/{kind}*{part}*.json; name the file with --{flag}")


def _loaded(file: Path) -> _Json:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MocoError(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(k), list) for k in ("images", "annotations", "categories")
    ):
        keys = ", ".join(list(content)[:6]) if isinstance(content, dict) else f"a {type(content).__name__}"
        raise MocoError(f"{file} is JSON of another kind: it holds {keys}, not images, annotations and categories")
    return content


def _part(data: Path, file: Path, content: _Json, learnt: Part | None, read: _Read) -> Part:
    complaints = Complaints()
    categories = sorted(content["categories"], key=lambda c: int(c["id"]))
    words = _words(file, categories, learnt)
    images = _images(data, file, content, words, complaints)
    things: dict[int | str, list[Thing]] = {key: [] for key in images}
    seen: set[Any] = set()
    for number, one in enumerate(content["annotations"]):
        name = one.get("id", f"number {number}") if isinstance(one, dict) else f"number {number}"
        where = f"{file}, annotation {name}"
        if not isinstance(one, dict):
            complaints.add(where, f"it is a {type(one).__name__}")
        elif name in seen:
            complaints.add(where, "another annotation has the same id")
        elif (image := images.get(one.get("image_id"))) is None:
            complaints.add(where, f"its image {one.get('image_id')} is none of the file's, or cannot be used")
        elif one.get("category_id") not in words.categories:
            complaints.add(where, f"its category {one.get('category_id')} is none of those learnt")
        elif (thing := read(one, where, image, words, complaints)) is not None:
            things[image.key].append(thing)
        seen.add(name)
    whole = tuple(_with(image, tuple(things[key])) for key, image in images.items())
    count = len(content["annotations"]) + len(content["images"])
    return Part(
        whole,
        words.classes,
        words.categories,
        words.points,
        words.skeleton,
        tuple(complaints.found),
        count,
        frequencies=words.frequencies,
        source=f"{file}",
    )


def _with(image: Annotated, things: tuple[Thing, ...]) -> Annotated:
    return Annotated(**{**vars(image), "things": things})


def _words(file: Path, categories: list[_Json], learnt: Part | None) -> Part:
    """Classes, their numbers and points; of a test file those of the training file, found again by name."""
    names, ids = tuple(str(c["name"]) for c in categories), tuple(int(c["id"]) for c in categories)
    if not names:
        raise MocoError(f"{file} has no categories")
    points = tuple(str(p) for p in next((c["keypoints"] for c in categories if c.get("keypoints")), ()))
    pairs = next((c["skeleton"] for c in categories if c.get("skeleton")), ())
    skeleton = tuple((int(a) - 1, int(b) - 1) for a, b in pairs)
    frequencies = tuple(str(c["frequency"]) for c in categories if c.get("frequency") in ("r", "c", "f"))
    frequencies = frequencies if len(frequencies) == len(names) else ()
    if learnt is None:
        return Part((), names, ids, points, skeleton, frequencies=frequencies)
    if not set(names) & set(learnt.classes):
        raise MocoError(f"{file}: none of its categories ({', '.join(names[:5])}) is learnt from the training file")
    known = dict(zip(names, ids, strict=True))
    matched = tuple(known.get(name, -1 - i) for i, name in enumerate(learnt.classes))
    return Part((), learnt.classes, matched, learnt.points, learnt.skeleton, frequencies=learnt.frequencies)


def _images(data: Path, file: Path, content: _Json, words: Part, complaints: Complaints) -> dict[Any, Annotated]:
    folder = _folder(data, file, content)
    images: dict[Any, Annotated] = {}
    for one in content["images"]:
        key, name = one.get("id"), one.get("file_name") or str(one.get("coco_url", "")).rpartition("/")[2]
        where = f"{file}, image {key}"
        path = folder / name
        if key in images:
            complaints.add(where, "another image has the same id")
        elif not name or not path.is_file():
            complaints.add(where, f"there is no {path}")
        elif not all(isinstance(one.get(side), int) and one[side] > 0 for side in ("width", "height")):
            complaints.add(where, "its width and height are missing")
        else:
            known = {c: i for i, c in enumerate(words.categories)}
            absent, incomplete = (
                tuple(known[c] for c in one.get(f"{kind}_category_ids", ()) if c in known)
                for kind in ("neg", "not_exhaustive")
            )
            images[key] = Annotated(
                str(path), path, key, one["width"], one["height"], absent=absent, incomplete=incomplete
            )
    return images


def _folder(data: Path, file: Path, content: _Json) -> Path:
    """Where the images of a file lie: a folder called as the end of its name, or `images`."""
    names = [one.get("file_name") or str(one.get("coco_url", "")).rpartition("/")[2] for one in content["images"][:50]]
    end = file.stem.rpartition("_")[2]
    parents = [data, file.parent, file.parent.parent]
    tried = [
        p / sub for p in parents for sub in (end, f"images/{end}", f"{end}2017", "images", "val2017", "train2017", "")
    ]
    best = max(tried, key=lambda folder: sum((folder / name).is_file() for name in names if name))
    if not any((best / name).is_file() for name in names if name):
        raise MocoError(f"{file}: none of its images is found; looked in {tried[0]}, {tried[1]}, {tried[3]} and others")
    return best


def _instance(one: _Json, where: str, image: Annotated, words: Part, complaints: Complaints) -> Thing | None:
    box = one.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
        complaints.add(where, "its bbox is not four numbers")
        return None
    x, y, w, h = map(float, box)
    cut = complaints.box(where, (x, y, x + w, y + h), image.width, image.height)
    if cut is None:
        return None
    outline = one.get("segmentation")
    if outline is not None and (wrong := trouble(outline, image.width, image.height)):
        complaints.add(where, wrong)
        return None
    crowd = bool(one.get("iscrowd", 0))
    area = float(one.get("area", (cut[2] - cut[0]) * (cut[3] - cut[1])))
    return Thing(cut, words.categories.index(one["category_id"]), area, crowd, outline)


def _posed(one: _Json, where: str, image: Annotated, words: Part, complaints: Complaints) -> Thing | None:
    thing = _instance({k: v for k, v in one.items() if k != "segmentation"}, where, image, words, complaints)
    if thing is None:
        return None
    flat = one.get("keypoints")
    if not isinstance(flat, list) or len(flat) != 3 * len(words.points):
        got = f"{len(flat)} numbers" if isinstance(flat, list) else "none"
        complaints.add(where, f"its keypoints are {got}, not {len(words.points)} times x, y and visibility")
        return None
    points = np.array(flat, dtype=np.float32).reshape(-1, 3)
    return Thing(thing.box, thing.label, thing.area, thing.crowd, None, points)
