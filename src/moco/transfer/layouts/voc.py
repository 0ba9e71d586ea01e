"""Pascal VOC's layout: JPEGImages, Annotations in XML, ImageSets; one year or several, or any folder like them.

Coordinates in the files count pixels from 1, so that a box covers [xmin - 1, xmax).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from moco.data.names import suffixes
from moco.errors import MocoError
from moco.transfer.layouts.annotated import Annotated, Complaints, Part, Thing

CLASSES = tuple(
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant "  # noqa: SIM905
    "sheep sofa train tvmonitor".split()
)
"""The twenty classes, in the order of their numbers in label masks."""


def read_voc(data: Path, train: str | None, test: str | None) -> tuple[Part, Part]:
    """(train, test) with boxes. A part is named `YEAR/LIST`, or LIST where there is one year; several by commas.

    Without names: trainval, or else train, of all years; test, or else val, of the first that has it. Raises
    MocoError where there is no such folder or list.
    """
    parts = [_read(lists, "Main") for lists in _both(data, train, test, "Main")]
    names = {name for found, _ in parts for one in found for name, *_ in one.objects}
    if not names:
        raise MocoError(f"--data {data}: no object is annotated in its Annotations")
    learnt = {name for one in parts[0][0] for name, *_ in one.objects}
    classes = tuple(CLASSES if learnt <= set(CLASSES) else sorted(learnt))
    return _part(*parts[0], classes, data), _part(*parts[1], classes, data)


def read_voc_masks(data: Path, train: str | None, test: str | None) -> tuple[Part, Part]:
    """(train, test) with label masks: JPEGImages, SegmentationClass, ImageSets/Segmentation."""
    train_part, test_part = (_masks(lists, data) for lists in _both(data, train, test, "Segmentation"))
    return train_part, test_part


class _File:
    """An annotation file: the size it states, and its objects as (name, difficult, box, line)."""

    def __init__(self, image: Path, xml: Path) -> None:
        self.image, self.xml = image, xml
        self.size = (0, 0)
        self.objects: list[tuple[str, bool, tuple[float, float, float, float], int]] = []


_Read = tuple[list[_File], Complaints]


def _read(lists: Iterable[tuple[Path, Path]], kind: str) -> _Read:
    complaints, files = Complaints(), []
    for root, names in lists:
        for name in _names(names):
            file = _File(_image(root / "JPEGImages", name), root / "Annotations" / f"{name}.xml")
            if not file.image.exists():
                complaints.add(str(names), f"there is no image {file.image}")
            elif _parse(file, complaints):
                files.append(file)
    return files, complaints


def _parse(file: _File, complaints: Complaints) -> bool:
    """Read the file; whether it can be used."""
    try:
        text = file.xml.read_text(encoding="utf-8", errors="replace")
        tree = ElementTree.fromstring(text)
    except FileNotFoundError:
        complaints.add(str(file.xml), "there is no such file")
        return False
    except ElementTree.ParseError as error:
        complaints.add(f"{file.xml}, line {error.position[0]}", f"damaged XML ({error})")
        return False
    lines = [text.count("\n", 0, m.start()) + 1 for m in re.finditer(r"<object[\s>]", text)]
    size = [_number(tree, f"size/{side}") for side in ("width", "height")]
    if None in size or not all(size):
        complaints.add(str(file.xml), "the size of the image is missing (<size> with <width> and <height>)")
        return False
    file.size = int(size[0] or 0), int(size[1] or 0)
    for number, thing in enumerate(tree.findall("object")):
        line = lines[number] if number < len(lines) else 0
        corners = [_number(thing, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
        name = (thing.findtext("name") or "").strip()
        if not name or None in corners:
            missing = "<name>" if not name else "a number of <bndbox>"
            complaints.add(f"{file.xml}, line {line}", f"{missing} is missing in this object")
            continue
        x0, y0, x1, y1 = (float(c or 0) for c in corners)
        difficult = (thing.findtext("difficult") or "0").strip() == "1"
        box = (x0 - 1, y0 - 1, x1, y1) if x0 < x1 and y0 < y1 else (x0, y0, x1, y1)
        file.objects.append((name, difficult, box, line))
    return True


def _number(tree: ElementTree.Element, path: str) -> float | None:
    try:
        return float(tree.findtext(path) or "")
    except ValueError:
        return None


def _part(files: list[_File], complaints: Complaints, classes: tuple[str, ...], data: Path) -> Part:
    images, seen = [], set()
    for file in files:
        if file.image in seen:
            complaints.add(str(file.xml), "the image is listed twice")
            continue
        seen.add(file.image)
        things = []
        for name, difficult, corners, line in file.objects:
            where = f"{file.xml}, line {line}"
            if name not in classes:
                complaints.add(where, f"the class {name!r} is none of those learnt: {', '.join(classes[:20])}")
            elif (box := complaints.box(where, corners, *file.size)) is not None:
                area = (box[2] - box[0]) * (box[3] - box[1])
                things.append(Thing(box, classes.index(name), area, crowd=difficult))
        images.append(Annotated(str(file.image), file.image, file.image.stem, *file.size, tuple(things)))
    count = sum(len(file.objects) for file in files) + len(complaints.found)
    eleven = all("2007" in str(file.xml) for file in files)
    return Part(
        tuple(images),
        classes,
        tuple(range(1, len(classes) + 1)),
        complaints=tuple(complaints.found),
        annotations=count,
        eleven=eleven and bool(files),
        source=f"VOC layout {data}",
    )


def _masks(lists: Sequence[tuple[Path, Path]], data: Path) -> Part:
    from moco.data.decode import header_size
    from moco.data.source import Unreadable, file_bytes

    complaints, images = Complaints(), []
    for root, names in lists:
        for name in _names(names):
            image, mask = _image(root / "JPEGImages", name), root / "SegmentationClass" / f"{name}.png"
            if missing := next((p for p in (image, mask) if not p.exists()), None):
                complaints.add(str(names), f"there is no {missing}")
                continue
            try:
                width, height = header_size(file_bytes(str(image)))
            except Unreadable as error:
                complaints.add(str(image), error.reason)
                continue
            images.append(Annotated(str(image), image, name, width, height, mask=mask))
    values = tuple((value, value) for value in range(len(CLASSES) + 1))
    classes = ("background", *CLASSES)
    count = len(images) + len(complaints.found)
    return Part(
        tuple(images),
        classes,
        complaints=tuple(complaints.found),
        annotations=count,
        values=values,
        source=f"VOC layout {data}",
    )


def _both(data: Path, train: str | None, test: str | None, kind: str) -> list[list[tuple[Path, Path]]]:
    """For (train, test), the (root, list) pairs."""
    roots = _roots(data)
    learnt: tuple[str, ...]
    judged: tuple[str, ...]
    if kind == "Segmentation":
        learnt, judged = ("train_aug", "train"), ("val", "test")
    elif test is not None or any((root / "ImageSets" / kind / "test.txt").exists() for root in roots):
        learnt, judged = ("trainval", "train"), ("test", "val")
    else:
        learnt, judged = ("train",), ("val",)
    tested = _lists(roots, test, judged, kind, "test")
    return [_lists(roots, train, learnt, kind, "train"), tested[:1] if test is None else tested]


def _lists(roots: list[Path], named: str | None, usual: Sequence[str], kind: str, flag: str) -> list[tuple[Path, Path]]:
    if named is None:
        for name in usual:
            found = [(root, file) for root in roots if (file := root / "ImageSets" / kind / f"{name}.txt").exists()]
            if found:
                return found
        raise MocoError(
            f"--data {roots[0]} has no list ImageSets/{kind}/{' or '.join(f'{n}.txt' for n in usual)}; name one with "
            f"--{flag}"
        )
    pairs = []
    for one in named.split(","):
        year, _, name = one.strip().rpartition("/")
        chosen = [root for root in roots if not year or root.name == year]
        files = [(root, root / "ImageSets" / kind / f"{name}.txt") for root in chosen]
        files = [(root, file) for root, file in files if file.exists()]
        if not files:
            there = sorted(f"{r.name}/{p.stem}" for r in roots for p in (r / "ImageSets" / kind).glob("*.txt"))
            raise MocoError(f"--{flag} {one}: no such list in ImageSets/{kind}; there are {', '.join(there) or 'none'}")
        pairs += files
    return pairs


def _roots(data: Path) -> list[Path]:
    """The folders with JPEGImages at `data` or one or two folders below it."""
    for pattern in ("JPEGImages", "*/JPEGImages", "*/*/JPEGImages"):
        if found := sorted(p.parent for p in data.glob(pattern) if p.is_dir()):
            return found
    raise MocoError(f"--data {data} has no folder JPEGImages in it, so it is not laid out as Pascal VOC")


def _names(file: Path) -> list[str]:
    lines = (line.split() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    return [line[0] for line in lines if line and (len(line) == 1 or line[1] != "-1")]


def _image(folder: Path, name: str) -> Path:
    for suffix in suffixes():
        if (path := folder / f"{name}{suffix}").exists():
            return path
    return folder / f"{name}.jpg"
