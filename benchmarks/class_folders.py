"""The six labelled sets that `auto` is measured on, as folders of classes: NAME/train/CLASS, NAME/test/CLASS.

    python benchmarks/class_folders.py --archives FOLDER --out sets

FOLDER holds the public sets, unpacked: `trashnet128`, `imagenette128`, `gtsrb_tracks`, `cifar10_jpg`, `bccd_voc`.

- `trash`, `nette`: all images; `val` is the test.
- `signs`: all images of the tracks of traffic signs.
- `cifar`: the first 1,000 of each class to learn from, the first 200 to test.
- `cells`: crops by the boxes of blood cells and platelets, of each image the first three red cells alone, since there
  are ten times as many; training and validation images to learn from.
- `digits`: the drawn digits that come with the package, 11,200 drawings, and those of other digits to test.
"""

from __future__ import annotations

import argparse
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from other_sets import folder
from PIL import Image

from moco.data.demo import Demo

RED = 3
FIRST = {"train": 1000, "test": 200}


def linked(archives: Path, out: Path, name: str, parts: dict[str, str], first: dict[str, int] | None = None) -> None:
    for part, theirs in parts.items():
        for label in sorted(path for path in (archives / name / theirs).iterdir() if path.is_dir()):
            for path in sorted(label.iterdir())[: first[part] if first else None]:
                made = folder(out, part, label.name) / path.name
                if not made.exists():
                    os.link(path, made)


def trash(archives: Path, out: Path) -> None:
    linked(archives, out, "trashnet128", {"train": "train", "test": "val"})


def nette(archives: Path, out: Path) -> None:
    linked(archives, out, "imagenette128", {"train": "train", "test": "val"})


def signs(archives: Path, out: Path) -> None:
    linked(archives, out, "gtsrb_tracks", {"train": "train", "test": "test"})


def cifar(archives: Path, out: Path) -> None:
    linked(archives, out, "cifar10_jpg", {"train": "train", "test": "test"}, FIRST)


def cells(archives: Path, out: Path) -> None:
    root = archives / "bccd_voc" / "BCCD"
    for part, lists in {"train": ("train", "val"), "test": ("test",)}.items():
        for name in [n for one in lists for n in (root / f"ImageSets/Main/{one}.txt").read_text().split()]:
            image = Image.open(root / f"JPEGImages/{name}.jpg").convert("RGB")
            red = 0
            for number, found in enumerate(ElementTree.parse(root / f"Annotations/{name}.xml").iter("object")):
                label = found.findtext("name")
                box = [int(found.find("bndbox").findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")]
                red += label == "RBC"
                if (label == "RBC" and red > RED) or box[2] <= box[0] or box[3] <= box[1]:
                    continue
                image.crop(box).save(folder(out, part, label) / f"{name}_{number}.png")


def digits(archives: Path, out: Path) -> None:
    for part, name in {"train": "", "test": "test"}.items():
        drawn = Demo(name)
        for i in range(len(drawn)):
            Image.fromarray(drawn.raw(i)).save(folder(out, part, drawn.label(i)) / f"{drawn.name(i)}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", type=Path, default=Path(), help="the folder of the unpacked sets")
    parser.add_argument("--out", type=Path, default=Path("sets"))
    asked = parser.parse_args()
    for make in (trash, nette, signs, cifar, cells, digits):
        make(asked.archives, asked.out / make.__name__)
        found = {part: len(list((asked.out / make.__name__ / part).rglob("*.*"))) for part in ("train", "test")}
        print(f"{make.__name__}: {found['train']:,} images to learn from, {found['test']:,} to test")


if __name__ == "__main__":
    main()
