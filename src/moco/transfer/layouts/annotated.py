"""What every layout is read into: images with things in them, and complaints about what makes no sense."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.data.names import number_of
from moco.errors import MocoError
from moco.recipe import Pixels

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; the right and lower edge lie outside."""

VOID = 255
"""The value of label masks that stands for no class: neither learnt nor judged."""

_EDGE = 2.0
"""Pixels that a box may reach outside its image, by rounding, and is cut off."""


@dataclass(frozen=True)
class Thing:
    """One annotated object."""

    box: Box
    label: int
    area: float
    crowd: bool = False
    """Many at once, or too difficult: what is found there is neither right nor wrong."""
    outline: Any = None
    """Polygons [[x, y, ...], ...] or run lengths {"size", "counts"}; None without a mask."""
    points: NDArray[np.float32] | None = None
    """K x 3: x, y, and 0 for not annotated, 1 for hidden, 2 for seen."""


@dataclass(frozen=True)
class Annotated:
    """An image and what is in it."""

    name: str
    path: Path
    key: int | str
    """What the annotations call it."""
    width: int
    height: int
    things: tuple[Thing, ...] = ()
    mask: Path | None = None
    """Of a semantic task: the image of labels."""
    absent: tuple[int, ...] = ()
    """Classes known not to be in the image (LVIS)."""
    incomplete: tuple[int, ...] = ()
    """Classes of which not all are annotated (LVIS)."""
    void: Any = None
    """Run lengths of where nothing is judged (Cityscapes)."""
    made_of: Pixels | None = None
    """The bands, type and range in which it is read; None: a photograph."""


@dataclass(frozen=True)
class Complaint:
    """An annotation or image that is left out, and why."""

    where: str
    """The file, and the line or the id in it."""
    why: str

    def __str__(self) -> str:
        return f"{self.where}\t{self.why}"


@dataclass(frozen=True)
class Part:
    """The images of one part of a data set, and the words for what is in them."""

    images: tuple[Annotated, ...]
    classes: tuple[str, ...]
    categories: tuple[int, ...] = ()
    """What the annotations call each class."""
    points: tuple[str, ...] = ()
    """The names of keypoints."""
    skeleton: tuple[tuple[int, int], ...] = ()
    """Pairs of keypoints, counted from 0, that are joined when drawn."""
    complaints: tuple[Complaint, ...] = ()
    annotations: int = 0
    """How many there were, with those that are left out."""
    values: tuple[tuple[int, int], ...] = ()
    """(value in a label mask, class), where masks hold other numbers than classes; all others are void."""
    frequencies: tuple[str, ...] = ()
    """Of LVIS: how common each class is in the training images: r (rare), c or f."""
    eleven: bool = False
    """VOC 2007: precision is read at eleven points."""
    source: str = ""
    """In words, what this is."""

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Which keypoint of a mirrored image each one is: left becomes right, where names say so."""
        return tuple(_other_side(name, self.points) for name in self.points)


def read_as(part: Part, pixels: Pixels | None) -> Part:
    """The part with its images read in these bands, type and range: those of the encoder that is fine-tuned."""
    return replace(part, images=tuple(replace(image, made_of=pixels) for image in part.images))


@dataclass
class Complaints:
    """Complaints as they are found."""

    found: list[Complaint] = field(default_factory=list)

    def add(self, where: str, why: str) -> None:
        """One more."""
        self.found.append(Complaint(where, why))

    def box(self, where: str, box: Box, width: int, height: int) -> Box | None:
        """The box within the image; None, with a complaint, where it has no area or reaches outside."""
        x0, y0, x1, y1 = box
        if not all(np.isfinite(box)):
            self.add(where, f"the box {_words(box)} is not made of numbers")
        elif x1 <= x0 or y1 <= y0:
            self.add(where, f"the box {_words(box)} has no area")
        elif x0 < -_EDGE or y0 < -_EDGE or x1 > width + _EDGE or y1 > height + _EDGE:
            self.add(where, f"the box {_words(box)} reaches outside its image of {width} x {height}")
        else:
            cut = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
            if cut[0] < cut[2] and cut[1] < cut[3]:
                return cut
            self.add(where, f"the box {_words(box)} lies outside its image of {width} x {height}")
        return None


def refuse_complaints(part: Part, most: float, where: str) -> None:
    """Raise MocoError where a larger share of annotations than `most` is left out; `where` all are listed."""
    if len(part.complaints) > most * max(part.annotations, 1):
        first = str(part.complaints[0]).replace("\t", ": ")
        raise MocoError(
            f"{len(part.complaints)} of {part.annotations:,} annotations and images make no sense ({first}; all are "
            f"listed in {where}). That is more than {most:.1%}; repair them, or allow more with --machine.max-skipped"
        )


def summary(part: Part) -> str:
    """In words: how many images and things there are, and how many are left out."""
    things = sum(len(one.things) for one in part.images)
    counts = Counter(thing.label for one in part.images for thing in one.things)
    most = ", ".join(f"{part.classes[label]} {n:,}" for label, n in counts.most_common(4))
    of = f" with {things:,} things in {len(part.classes):,} classes ({most}{', ...' if len(counts) > 4 else ''})"
    left = f"; {len(part.complaints):,} annotations or images make no sense and are left out" if part.complaints else ""
    words = of if things else f", {len(part.classes)} classes"
    return f"{part.source}: {number_of(len(part.images), 'image')}{words}{left}"


def _words(box: Box) -> str:
    return f"({', '.join(f'{v:g}' for v in box)})"


def _other_side(name: str, names: tuple[str, ...]) -> int:
    """The place of the point on the other side; its own where it is in the middle."""
    pairs = (("left", "right"), ("Left", "Right"), ("L", "R"), ("l_", "r_"), ("_l", "_r"))
    for a, b in (*pairs, *((b, a) for a, b in pairs)):
        for at in range(len(name)):
            if name.startswith(a, at) and (other := name[:at] + b + name[at + len(a) :]) in names:
                return names.index(other)
    return names.index(name)
