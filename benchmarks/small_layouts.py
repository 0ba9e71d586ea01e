"""Small folders in the true layouts of COCO, LVIS and Cityscapes, from some images of a folder in COCO's layout."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from moco.transfer.layouts.cityscapes import THINGS
from moco.transfer.layouts.outlines import pixels

Json = dict[str, Any]
BUILDING, ABSENT = 11, 8
"""The class that stands for what is no thing of Cityscapes, and how many classes LVIS would have found absent."""


def some(data: Path, kind: str, part: str, most: int, wanted: Callable[[Json], bool] = lambda _: True) -> Json:
    """A file's content with the first images that have an annotation which is wanted, and their annotations alone."""
    file = next(iter(sorted((data / "annotations").glob(f"{kind}_{part}*.json"))))
    content: Json = json.loads(file.read_text())
    having = {one["image_id"] for one in content["annotations"] if not one.get("iscrowd") and wanted(one)}
    content["images"] = [image for image in content["images"] if image["id"] in having][:most]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] in kept]
    return content


def posed(one: Json) -> bool:
    """Whether an annotation is of someone large enough that most points can be seen."""
    return one.get("num_keypoints", 0) >= 10 and one["bbox"][3] >= 200


def coco_folder(
    data: Path, out: Path, kind: str, learn: int, judge: int, wanted: Callable[[Json], bool] = lambda _: True
) -> Path:
    """`out` with so many images to learn from and to be judged on, which have an annotation that is wanted."""
    for part, most in (("train", learn), ("val", judge)):
        content = some(data, kind, part, most, wanted)
        _write(out / "annotations" / f"{kind}_{part}2017.json", content)
        _images(data, out, part, content)
    return out


def lvis_folder(data: Path, out: Path, learn: int, judge: int) -> Path:
    """The same images as LVIS would have them: no crowds, frequencies, and only some of the absent classes known."""
    contents = {part: some(data, "instances", part, most) for part, most in (("train", learn), ("val", judge))}
    in_images = Counter(c for _, c in {(a["image_id"], a["category_id"]) for a in contents["train"]["annotations"]})
    for part, content in contents.items():
        crowds = {(a["image_id"], a["category_id"]) for a in content["annotations"] if a["iscrowd"]}
        kept = [a for a in content["annotations"] if not a["iscrowd"]]
        numbers = [c["id"] for c in content["categories"]]
        for image in content["images"]:
            del image["file_name"]  # as in LVIS v1, where coco_url alone names the image
            here = {a["category_id"] for a in content["annotations"] if a["image_id"] == image["id"]}
            absent = np.random.default_rng(image["id"]).permutation([n for n in numbers if n not in here])
            image["neg_category_ids"] = sorted(absent[:ABSENT].tolist())
            image["not_exhaustive_category_ids"] = sorted(c for i, c in crowds if i == image["id"])
        kept = [{k: v for k, v in a.items() if k != "iscrowd"} for a in kept]
        for category in content["categories"]:
            category["synset"], category["frequency"] = f"{category['name']}.n.01", _letter(in_images[category["id"]])
        _write(out / "annotations" / f"lvis_v1_{part}.json", {**content, "annotations": kept})
        _images(data, out, part, content)
    return out


def cityscapes_folder(data: Path, out: Path, learn: int, judge: int) -> Path:
    """Images with people and vehicles as leftImg8bit, and gtFine's instanceIds, labelIds and polygons."""
    for part, most in (("train", learn), ("val", judge)):
        names = {c["id"]: c["name"] for c in some(data, "instances", part, 1)["categories"]}
        own = {i: n for n, word in THINGS.items() for i, name in names.items() if name == word}
        content = some(data, "instances", part, most, lambda one, own=own: one["category_id"] in own)
        for number, image in enumerate(content["images"]):
            things = [a for a in content["annotations"] if a["image_id"] == image["id"] and a["category_id"] in own]
            stem = f"{part}_{number:06d}_000019"
            for folder in ("leftImg8bit", "gtFine"):
                (out / folder / part / "coco").mkdir(parents=True, exist_ok=True)
            with Image.open(_file(data, part, image)) as picture:
                picture.convert("RGB").save(out / "leftImg8bit" / part / "coco" / f"{stem}_leftImg8bit.png")
            ids = instance_ids(things, own, image["width"], image["height"])
            fine = out / "gtFine" / part / "coco"
            Image.fromarray(ids).save(fine / f"{stem}_gtFine_instanceIds.png")
            labels = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
            Image.fromarray(labels).save(fine / f"{stem}_gtFine_labelIds.png")
    return out


def instance_ids(things: Sequence[Json], own: dict[int, int], width: int, height: int) -> NDArray[np.uint16]:
    """H x W: 1000 times the class and the number of the instance; the class alone for a group; the larger below."""
    ids = np.full((height, width), BUILDING, dtype=np.uint16)
    counts: Counter[int] = Counter()
    for thing in sorted(things, key=lambda one: (not one["iscrowd"], -one["area"])):
        kind = own[thing["category_id"]]
        value = kind if thing["iscrowd"] else kind * 1000 + counts[kind]
        counts[kind] += not thing["iscrowd"]
        ids[pixels([thing["segmentation"]], width, height)[0] > 0] = value
    return ids


def _letter(images: int) -> str:
    return "r" if images <= 1 else "c" if images <= 4 else "f"


def _file(data: Path, part: str, image: Json) -> Path:
    name = image.get("file_name") or image["coco_url"].rpartition("/")[2]
    return next(data / one / name for one in (f"{part}2017", part, f"images/{part}") if (data / one / name).is_file())


def _images(data: Path, out: Path, part: str, content: Json) -> None:
    for image in content["images"]:
        source = _file(data, part, image)
        place = out / f"{part}2017" / source.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(source.resolve())


def _write(path: Path, content: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
