"""What fine-tuning sees of an image: resized, mirrored, cropped, as a function of (seed, step, place in the batch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from moco.data.decode import decode
from moco.data.seen import open_seen
from moco.data.source import Unreadable, file_bytes
from moco.data.values import writable
from moco.ops import draw
from moco.ops.bands import to_unit
from moco.recipe import Pixels
from moco.transfer.kept import Kept
from moco.transfer.layouts.annotated import VOID, Annotated, Part, Thing
from moco.transfer.layouts.outlines import pixels as outline_pixels
from moco.transfer.parts.values import Target
from moco.transfer.recipe import Cropped, Resized


@dataclass(frozen=True)
class Sample:
    """One image as the model sees it, and what is to be learnt from it."""

    pixels: Tensor
    """uint8, 3 x H x W; float32, C x H x W in [0, 1], where images are no photographs."""
    target: Target | None
    labels: Tensor | None
    """H x W, uint8: of a semantic task."""


@dataclass(frozen=True)
class Resizing:
    """How a whole image is resized, without looking at its pixels."""

    height: int
    width: int
    mirrored: bool


def resizing(views: Resized, image: Annotated, *name: int) -> Resizing:
    """The shorter side as drawn for this name, unless the longer one would be too long."""
    which, side = _drawn(2, *name)
    short = views.short[int(which * len(views.short))]
    return Resizing(*fitted(image.height, image.width, short, views.longest), views.mirror and side < 0.5)


def fitted(height: int, width: int, short: int, longest: int) -> tuple[int, int]:
    """(height, width) with the shorter side `short`, or less where the longer one would exceed `longest`."""
    scale = min(short / min(height, width), longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _drawn(count: int, *name: int) -> list[float]:
    """So many numbers in [0, 1) for a name, at once: one after the other they take longer than small pixels."""
    found: list[float] = draw.uniform(draw.stream("transfer views"), *name, np.arange(count)).tolist()
    return found


def read_pixels(image: Annotated) -> Tensor:
    """uint8, 3 x H x W, or float32, C x H x W in [0, 1], where it is no photograph; raises Unreadable as below."""
    return of_values(read_values(image, image.made_of), image.made_of)


def of_values(values: NDArray[Any], made_of: Pixels | None) -> Tensor:
    """What a model takes of an image H x W x C: uint8 of a photograph, else shares of the range from black to white."""
    x = torch.from_numpy(writable(np.ascontiguousarray(values))).permute(2, 0, 1)
    return x if made_of is None else to_unit(x[None], *made_of.scale)[0]


def read_values(image: Annotated, made_of: Pixels | None) -> NDArray[Any]:
    """H x W x C as `made_of` says, or uint8; raises Unreadable, also where the size is not that of the annotations."""
    raw = file_bytes(str(image.path))
    pixels = decode(raw) if made_of is None else open_seen(raw, made_of).pixels()[0]
    if pixels.shape[:2] != (image.height, image.width):
        found = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise Unreadable(f"the image is {found} pixels, its annotations are for {image.width} x {image.height}")
    return pixels


def resized_sample(
    image: Annotated, how: Resizing, mirrored_points: tuple[int, ...], seed: int, kept: Kept | None = None
) -> Sample:
    """The image resized as drawn, and its things that are no crowds; raises Unreadable."""
    kept = kept or Kept(0)
    whole = kept.get(("pixels", image.path), lambda: read_pixels(image))
    pixels = transform.resize(whole, [how.height, how.width], antialias=True)
    stretch = how.width / image.width, how.height / image.height
    things = [thing for thing in image.things if not thing.crowd]
    boxes = torch.tensor([thing.box for thing in things], dtype=torch.float32).view(-1, 4)
    boxes = boxes * boxes.new_tensor([*stretch, *stretch])
    masks = points = None
    if things and all(thing.outline is not None for thing in things):
        masks = kept.get(("outlines", image.path), lambda: _outlines(things, image))
    elif not things:
        masks = torch.zeros((0, image.height, image.width), dtype=torch.uint8)
    if mirrored_points:
        posed = [t.points if t.points is not None else np.zeros((len(mirrored_points), 3)) for t in things]
        points = torch.from_numpy(np.array(posed, dtype=np.float32).reshape(len(things), len(mirrored_points), 3))
        points[..., :2] *= points.new_tensor(stretch)
    if how.mirrored:
        pixels = pixels.flip(2)
        boxes = torch.stack([how.width - boxes[:, 2], boxes[:, 1], how.width - boxes[:, 0], boxes[:, 3]], dim=1)
        masks = None if masks is None else masks.flip(2)
        if points is not None:
            points = points[:, list(mirrored_points)]
            points[..., 0] = torch.where(points[..., 2] > 0, how.width - points[..., 0], points[..., 0])
    labels = torch.tensor([thing.label for thing in things], dtype=torch.int64)
    return Sample(pixels, Target(boxes, labels, masks, stretch, points, seed), None)


def cropped_sample(views: Cropped, part: Part, image: Annotated, *name: int, kept: Kept | None = None) -> Sample:
    """A drawn square of the image scaled by a drawn factor; what lies outside is void. Raises Unreadable."""
    kept = kept or Kept(0)
    factor, side, *corner = _drawn(4, *name)
    low, high = views.scale
    scale = low + (high - low) * factor
    height, width = (max(1, round(side * scale)) for side in (image.height, image.width))
    pixels = kept.get(("pixels", image.path), lambda: read_pixels(image))
    labels = kept.get(("labels", image.path), lambda: read_labels(part, image))
    pixels = transform.resize(pixels, [height, width], antialias=True)
    labels = transform.resize(labels[None], [height, width], interpolation=transform.InterpolationMode.NEAREST)
    top, left = (int((max(0, n - views.size) + 1) * at) for n, at in zip((height, width), corner, strict=True))
    pixels, labels = (t[:, top : top + views.size, left : left + views.size] for t in (pixels, labels))
    pixels, labels = _padded(pixels, labels[0], views.size)
    if views.mirror and side < 0.5:
        pixels, labels = pixels.flip(2), labels.flip(1)
    return Sample(pixels, None, labels)


def _padded(pixels: Tensor, labels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """A square: right of and below what is smaller its mean colour, and void."""
    high, wide = labels.shape
    if high == wide == size:
        return pixels, labels
    mean = pixels.float().mean((1, 2))
    mean = mean if pixels.is_floating_point() else mean.round().to(torch.uint8)
    whole = mean[:, None, None].repeat(1, size, size)
    whole[:, :high, :wide] = pixels
    values = torch.full((size, size), VOID, dtype=torch.uint8)
    values[:high, :wide] = labels
    return whole, values


def _outlines(things: list[Thing], image: Annotated) -> Tensor:
    return torch.from_numpy(outline_pixels([t.outline for t in things], image.width, image.height))


def read_labels(part: Part, image: Annotated) -> Tensor:
    """uint8, H x W: the class of each pixel, or void; raises Unreadable."""
    assert image.mask is not None
    try:
        with Image.open(image.mask) as opened:
            raw: NDArray[np.int64] = np.asarray(opened).astype(np.int64)
    except (OSError, SyntaxError) as error:
        raise Unreadable(f"its mask {image.mask} cannot be read ({error})") from None
    if raw.shape != (image.height, image.width):
        found = " x ".join(map(str, raw.shape[1::-1]))
        raise Unreadable(f"its mask is of {found} pixels, the image of {image.width} x {image.height}")
    table = np.full(max(256, int(raw.max()) + 1), VOID, dtype=np.uint8)
    for value, label in part.values:
        if value < len(table):
            table[value] = label
    return torch.from_numpy(table[np.clip(raw, 0, len(table) - 1)])
