"""Any folder of images and label masks: images/train, masks/train and the same for val; files are matched by name.

A mask is an image of one number for each pixel: the class, or 255 where none is to be learnt or judged. `classes.txt`
beside the folders names the classes, one a line from 0 on; without it they are numbered.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from moco.data.names import is_image, is_litter
from moco.data.native import open_native
from moco.data.source import Unreadable, file_bytes
from moco.errors import MocoError
from moco.transfer.layouts.annotated import VOID, Annotated, Complaints, Part

_JUDGED = ("val", "test", "valid", "validation")


def read_masks(data: Path, train: str | None, test: str | None) -> tuple[Part, Part]:
    """(train, test); `train` and `test` are names of folders in images/ and masks/. Raises MocoError without pairs."""
    if not (data / "images").is_dir() or not (data / "masks").is_dir():
        raise MocoError(f"--data {data} needs the folders images/ and masks/ in it, each with train/ and val/")
    judged = test or next((name for name in _JUDGED if (data / "images" / name).is_dir()), None)
    if judged is None:
        raise MocoError(f"--data {data} has no images/{', images/'.join(_JUDGED)}; name the folder with --test")
    parts = [_pairs(data, name, flag) for name, flag in ((train or "train", "train"), (judged, "test"))]
    largest = max(found[2] for found in parts)
    classes = _classes(data, largest)
    values = tuple((value, value) for value in range(len(classes)))
    done = []
    for images, complaints, _ in parts:
        count = len(images) + len(complaints.found)
        found = tuple(complaints.found)
        source = f"images and masks {data}"
        done.append(Part(tuple(images), classes, complaints=found, annotations=count, values=values, source=source))
    return done[0], done[1]


def _size(path: Path) -> tuple[int, int]:
    """Width and height of an image, also of one with bands that Pillow does not read; raises OSError and Unreadable."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError):
        facts = open_native(file_bytes(str(path))).facts
        return facts.width, facts.height


def _pairs(data: Path, name: str, flag: str) -> tuple[list[Annotated], Complaints, int]:
    """The images of a part with their masks, and the largest class in any mask."""
    images, masks = data / "images" / name, data / "masks" / name
    for folder in (images, masks):
        if not folder.is_dir():
            raise MocoError(f"--{flag} {name}: there is no folder {folder}")
    by_stem = {path.stem: path for path in sorted(masks.rglob("*")) if is_image(path.name)}
    complaints, found, largest = Complaints(), [], 0
    for path in sorted(images.rglob("*")):
        if not is_image(path.name) or is_litter(path.name):
            continue
        mask = by_stem.get(path.stem)
        if mask is None:
            complaints.add(str(path), f"it has no mask {masks / path.stem}.png")
            continue
        try:
            size = _size(path)
            with Image.open(mask) as labels:
                other, mode = labels.size, labels.mode
                largest = max(largest, _largest(labels)) if mode in ("L", "P", "1", "I", "I;16") else largest
        except (OSError, SyntaxError, Unreadable) as error:
            complaints.add(str(path), f"the image or its mask cannot be read ({error})")
            continue
        if mode not in ("L", "P", "1", "I", "I;16"):
            complaints.add(str(mask), f"a mask has one number for each pixel, this is of {mode}")
        elif size != other:
            complaints.add(
                str(mask), f"the mask is of {other[0]} x {other[1]} pixels, its image of {size[0]} x {size[1]}"
            )
        else:
            found.append(Annotated(str(path), path, path.stem, *size, mask=mask))
    if not found:
        raise MocoError(f"--{flag} {name}: no image in {images} has a mask of the same name in {masks}")
    return found, complaints, largest


def _largest(labels: Image.Image) -> int:
    values = np.asarray(labels)
    inside = values[values != VOID]
    return int(inside.max()) if inside.size else 0


def _classes(data: Path, largest: int) -> tuple[str, ...]:
    named = data / "classes.txt"
    if not named.exists():
        return tuple(f"class {i}" for i in range(largest + 1))
    classes = tuple(line.strip() for line in named.read_text(encoding="utf-8").splitlines() if line.strip())
    if largest >= len(classes):
        raise MocoError(f"{named} names {len(classes)} classes, but a mask holds the number {largest}; name them all")
    return classes
