"""What happens to an image is drawn on the host, as a function of (seed, epoch, image index, view number).

So the same image in the same epoch gets the same two views in any batch, process or device.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from moco.ops.crop import crop_boxes
from moco.ops.draw import counter, stream, uniform
from moco.recipe.drawn import View

Floats = NDArray[np.float64]
Integer = NDArray[np.int64]
Switch = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where in N images their views lie."""

    boxes: Integer
    """N x 4: top, left, height, width."""
    flip: Switch
    flip_vertical: Switch
    quarter: Integer
    """Quarter turns to the left."""


@dataclass(frozen=True, kw_only=True)
class Photometry:
    """What is done to the colours and the sharpness of N views; each number is drawn even where its switch is off."""

    jitter: Switch
    brightness: Floats
    contrast: Floats
    saturation: Floats
    hue: Floats
    order: Integer
    """N x 4: a permutation of brightness, contrast, saturation, hue for each."""
    gray: Switch
    blur: Switch
    sigma: Floats
    solarize: Switch


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Everything that is drawn for one view of N images."""

    geometry: Geometry
    photometry: Photometry


def draw(
    view: View, height: Integer, width: Integer, *, seed: int, epoch: int | Integer, index: Integer, number: int
) -> Draws:
    """What happens to N images of these heights and widths (N) in view `number` (0 query, 1 key): a pure function."""
    key = key_of(seed, epoch, index, number)
    return Draws(geometry=geometry_of(view, height, width, key), photometry=photometry_of(view, key))


def key_of(seed: int, epoch: int | Integer, index: Integer, number: int) -> NDArray[np.uint64]:
    """What all draws of one view of N images are named by."""
    return np.broadcast_to(counter(stream("view"), seed, epoch, index, number), len(index))


def _table(key: NDArray[np.uint64], word: str, rows: int) -> Floats:
    """rows x N numbers in [0, 1)."""
    return np.asarray(uniform(key, stream(word), np.arange(rows)[:, None]))


def geometry_of(view: View, height: Integer, width: Integer, key: NDArray[np.uint64]) -> Geometry:
    """Where the views lie in images of these heights and widths."""
    flip, flip_vertical, turned, quarters = _table(key, "geometry", 4)
    return Geometry(
        boxes=crop_boxes(height, width, view.scale, view.ratio, key),
        flip=flip < view.flip,
        flip_vertical=flip_vertical < view.flip_vertical,
        quarter=np.where(turned < view.turn, 1 + np.floor(3 * quarters), 0).astype(np.int64),
    )


def photometry_of(view: View, key: NDArray[np.uint64]) -> Photometry:
    """What is done to the colours and the sharpness; the sizes of the images do not matter to it."""
    u = iter(_table(key, "photometry", 9))
    j = view.jitter

    def between(low: float, high: float) -> Floats:
        return np.asarray(low + (high - low) * next(u))

    return Photometry(
        jitter=next(u) < j.p,
        brightness=between(1 - j.brightness, 1 + j.brightness),
        contrast=between(1 - j.contrast, 1 + j.contrast),
        saturation=between(1 - j.saturation, 1 + j.saturation),
        hue=between(-j.hue, j.hue),
        order=np.argsort(counter(key, stream("order"), np.arange(4)[:, None]), axis=0, kind="stable").T,
        gray=next(u) < view.gray,
        blur=next(u) < view.blur.p,
        sigma=between(*view.blur.sigma),
        solarize=next(u) < view.solarize,
    )


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What is done to the bands of N views one by one, and the noise that each gets."""

    gain: Floats
    """N x C, as are the next two."""
    offset: Floats
    keep: Switch
    gaussian: Floats
    """N: standard deviations, 0 where there is no noise."""
    speckle: Floats
    key: NDArray[np.uint64]
    """N: what the noise of a view is drawn by."""


def disturbance_of(view: View, channels: int, key: NDArray[np.uint64]) -> Disturbance:
    """What is done to the bands one by one, and the noise."""
    gain, offset, drop = (_table(key, f"band {word}", channels).T for word in ("gain", "offset", "drop"))
    noisy, gaussian, speckle = _table(key, "noise", 3)
    last = drop == drop.max(axis=1, keepdims=True)
    on = noisy < view.noise.p
    return Disturbance(
        gain=1 + view.bands.gain * (2 * gain - 1),
        offset=view.bands.offset * (2 * offset - 1),
        keep=(drop >= view.bands.drop) | last,
        gaussian=np.where(on, view.noise.gaussian * gaussian, 0.0),
        speckle=np.where(on, view.noise.speckle * speckle, 0.0),
        key=counter(key, stream("noise of each value")),
    )


T = TypeVar("T", Geometry, Photometry)


def rows_of(drawn: T, part: slice) -> T:
    """What was drawn for some of the images."""
    return type(drawn)(**{f.name: getattr(drawn, f.name)[part] for f in fields(drawn)})
