"""Pictures of what is found, and of what is true: boxes, masks, keypoints, and classes of pixels."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from moco.transfer.layouts.annotated import VOID, Annotated, Part
from moco.transfer.layouts.outlines import pixels, rle
from moco.transfer.metrics.predicted import Predicted

SHOWN = 0.5
"""The least score of what is drawn."""

Colour = tuple[int, int, int]


def colour_of(label: int) -> Colour:
    """A colour for each class, far from those before it (steps of the golden ratio round the colour wheel)."""
    r, g, b = colorsys.hsv_to_rgb((0.05 + 0.618034 * label) % 1, 0.9, 1.0)
    return round(255 * r), round(255 * g), round(255 * b)


def draw_found(
    image: NDArray[np.uint8], found: Predicted, words: Part, least: float = SHOWN, scores: bool = True
) -> Image.Image:
    """The image (H x W x 3) with everything of a score of at least `least`."""
    canvas = image.copy()
    kept = [i for i, score in enumerate(found.scores) if score >= least]
    if found.masks is not None:
        for i in reversed(kept):
            mask = pixels([found.masks[i]], canvas.shape[1], canvas.shape[0])[0] > 0
            canvas[mask] = (0.5 * canvas[mask] + 0.5 * np.array(_own(found, words, i))).astype(np.uint8)
    picture = Image.fromarray(canvas)
    drawing = ImageDraw.Draw(picture)
    wide = max(1, round(max(picture.size) / 300))
    for i in reversed(kept):
        colour = _own(found, words, i)
        x0, y0, x1, y1 = map(float, found.boxes[i])
        drawing.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=colour, width=wide)
        if scores and len(kept) <= 30:
            _label(drawing, (x0, y0), f"{words.classes[int(found.labels[i])]} {found.scores[i]:.2f}", colour)
        if found.points is not None:
            _draw_points(drawing, found.points[i], words.skeleton, colour, wide)
    return picture


def _own(found: Predicted, words: Part, i: int) -> Colour:
    """By class; things of the only class have a colour each."""
    return colour_of(int(found.labels[i]) if len(words.classes) > 1 else i)


def _label(drawing: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: Colour) -> None:
    left, top, right, bottom = drawing.textbbox(place, text)
    drawing.rectangle((left, top, right + 2, bottom + 2), fill=colour)
    drawing.text((place[0] + 1, place[1]), text, fill=(0, 0, 0))


def _draw_points(
    drawing: ImageDraw.ImageDraw,
    points: NDArray[np.float64],
    skeleton: Sequence[tuple[int, int]],
    colour: Colour,
    wide: int,
) -> None:
    known = np.isfinite(points[:, 0])
    for a, b in skeleton:
        if max(a, b) < len(points) and known[a] and known[b]:
            drawing.line((*map(float, points[a, :2]), *map(float, points[b, :2])), fill=colour, width=wide)
    for x, y in points[known, :2]:
        drawing.ellipse((x - wide, y - wide, x + wide, y + wide), fill=(255, 255, 255), outline=colour)


def draw_classes(image: NDArray[np.uint8], labels: NDArray[np.int64]) -> Image.Image:
    """The image under the colours of the classes of its pixels; class 0 and void stay as they are."""
    table = np.array([colour_of(label) for label in range(256)], dtype=np.float64)
    shown = (labels != 0) & (labels != VOID)
    canvas = image.copy()
    canvas[shown] = (0.45 * canvas[shown] + 0.55 * table[labels[shown]]).astype(np.uint8)
    return Image.fromarray(canvas)


def true_things(image: Annotated) -> Predicted:
    """What is annotated, as if it had been found with certainty; keypoints that nobody saw are nowhere (NaN)."""
    things = [thing for thing in image.things if not thing.crowd]
    outlines = [rle(t.outline, image.width, image.height) for t in things if t.outline is not None]
    points = [np.where(t.points[:, 2:] > 0, t.points, np.nan) for t in things if t.points is not None]
    whole = len(things) > 0
    return Predicted(
        0,
        np.array([t.box for t in things], dtype=np.float64).reshape(-1, 4),
        np.ones(len(things)),
        np.array([t.label for t in things], dtype=np.int64),
        outlines if whole and len(outlines) == len(things) else None,
        np.array(points, dtype=np.float64) if whole and len(points) == len(things) else None,
    )


def beside(pictures: Sequence[Image.Image], titles: Sequence[str], height: int = 240) -> Image.Image:
    """Pictures of one image in a row, each with a title above it."""
    scaled = [p.resize((max(1, round(p.width * height / p.height)), height)) for p in pictures]
    whole = Image.new("RGB", (sum(p.width + 4 for p in scaled), height + 16), (255, 255, 255))
    drawing, x = ImageDraw.Draw(whole), 0
    for picture, title in zip(scaled, titles, strict=True):
        drawing.text((x + 2, 2), title, fill=(0, 0, 0))
        whole.paste(picture, (x, 16))
        x += picture.width + 4
    return whole
