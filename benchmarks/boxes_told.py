"""Captions made from the boxes of COCO's layout, for want of a set with captions that people wrote.

A caption names the classes of an image, the largest first, with how many there are: "two dogs, a person and a car".
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path

from PIL import Image

NUMBERS = ("no", "a", "two", "three", "four", "five")
MOST = 4
"""Classes that are named."""


def told(boxes: list[tuple[str, float]]) -> str:
    """The caption of boxes, each a class and an area."""
    areas, counts = Counter(), Counter()
    for name, area in boxes:
        areas[name] += area
        counts[name] += 1
    parts = [counted(counts[name], name) for name, _ in areas.most_common(MOST)]
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def counted(number: int, name: str) -> str:
    """ "three dogs"."""
    if number == 1:
        return ("an " if name[0] in "aeiou" else "a ") + name
    several = {"person": "people", "knife": "knives", "mouse": "mice", "sheep": "sheep", "skis": "skis"}.get(name)
    several = several or name + ("es" if name.endswith(("s", "ch", "sh")) else "s")
    return f"{NUMBERS[number] if number < len(NUMBERS) else 'many'} {several}"


def write_table(coco: Path, folder: Path, side: int) -> Path:
    """A table of all images that have a box, each made smaller (short side `side`) and saved in `folder`."""
    table = folder / "captions.csv"
    with table.open("w", newline="") as file:
        pen = csv.writer(file)
        pen.writerow(["path", "caption"])
        for part in ("train2017", "val2017"):
            stated = json.loads((coco / "annotations" / f"instances_{part}.json").read_text())
            classes = {one["id"]: one["name"] for one in stated["categories"]}
            boxes = defaultdict(list)
            for one in stated["annotations"]:
                boxes[one["image_id"]].append((classes[one["category_id"]], one["area"]))
            for one in stated["images"]:
                if boxes[one["id"]]:
                    image = Image.open(coco / part / one["file_name"]).convert("RGB")
                    share = side / min(image.size)
                    image = image.resize([max(1, round(n * share)) for n in image.size])
                    image.save(folder / one["file_name"])
                    pen.writerow([one["file_name"], told(boxes[one["id"]])])
    return table
