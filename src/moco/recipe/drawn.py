"""How the views of an image are drawn: frozen data, and what of it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from moco.errors import MocoError

Operation = Literal["jitter", "gray", "blur", "solarize"]


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """Colour jitter: factors from [1 - x, 1 + x], a hue shift from [-hue, hue], the four in random order."""

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    """In turns of the colour wheel, at most 0.5."""
    p: float = 0.8
    """Probability that the image is jittered at all."""


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Gaussian blur with a standard deviation drawn uniformly, in pixels of the finished view."""

    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Bands:
    """What is drawn for each band by itself: sensors drift, calibrations differ, bands are missing."""

    gain: float = 0.0
    """Factors from [1 - gain, 1 + gain]."""
    offset: float = 0.0
    """Added: from [-offset, offset] of the range from black to white."""
    drop: float = 0.0
    """Probability that a band is replaced by its mean; one band at least stays."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise of each value, its strength drawn uniformly up to these shares; nothing is clipped."""

    gaussian: float = 0.0
    """Most standard deviation of what is added, as a share of the range from black to white."""
    speckle: float = 0.0
    """Most standard deviation of the factor about 1 that a value is multiplied by, as radar and ultrasound have it."""
    p: float = 0.0


@dataclass(frozen=True, kw_only=True)
class View:
    """How one view of an image is drawn: a crop, flips and turns, then four operations in `order`."""

    scale: tuple[float, float] = (0.2, 1.0)
    """Area of the crop, as a share of the image."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of the crop, drawn uniformly on a logarithmic scale."""
    flip: float = 0.5
    """Probability of a left-right flip."""
    flip_vertical: float = 0.0
    """Probability of an upside-down flip."""
    turn: float = 0.0
    """Probability of a turn by 90, 180 or 270 degrees."""
    jitter: Jitter = field(default_factory=Jitter)
    gray: float = 0.2
    """Probability of dropping all colour."""
    blur: Blur = field(default_factory=Blur)
    solarize: float = 0.0
    """Probability of inverting all values above one half."""
    order: tuple[Operation, ...] = ("jitter", "gray", "blur", "solarize")
    bands: Bands = field(default_factory=Bands)
    """After these four."""
    noise: Noise = field(default_factory=Noise)
    """Last of all."""
    keep: float = 1.0
    """Share of the patches that a ViT gets of a view that asks, drawn at random; keys are of all. Only `query_view`'s
    counts, for the views of both turns."""
    erase: float = 0.0
    """Probability that a rectangle of a view that asks is erased (arXiv:1708.04896). As `keep`: never in keys."""


@dataclass(frozen=True, kw_only=True)
class Normalize:
    """Per-channel mean and standard deviation that pixel values in [0, 1] are normalised with."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


def check_view(flag: str, view: View) -> None:
    """Refuse a view that cannot be drawn, with a MocoError that names the flag."""
    low, high = view.scale
    if not 0 < low <= high <= 1:
        raise MocoError(f"{flag}.scale {low} {high}: shares of the image, 0 < low <= high <= 1")
    low, high = view.ratio
    if not 0 < low <= high:
        raise MocoError(f"{flag}.ratio {low} {high}: 0 < low <= high")
    if sorted(view.order) != ["blur", "gray", "jitter", "solarize"]:
        raise MocoError(f"{flag}.order {' '.join(view.order)}: each of jitter, gray, blur, solarize once")
    j = view.jitter
    for name, p in (
        ("flip", view.flip),
        ("flip-vertical", view.flip_vertical),
        ("turn", view.turn),
        ("gray", view.gray),
        ("solarize", view.solarize),
        ("jitter.p", j.p),
        ("blur.p", view.blur.p),
        ("jitter.brightness", j.brightness),
        ("jitter.contrast", j.contrast),
        ("jitter.saturation", j.saturation),
        ("bands.gain", view.bands.gain),
        ("bands.offset", view.bands.offset),
        ("bands.drop", view.bands.drop),
        ("noise.gaussian", view.noise.gaussian),
        ("noise.speckle", view.noise.speckle),
        ("noise.p", view.noise.p),
        ("erase", view.erase),
    ):
        if not 0 <= p <= 1:
            raise MocoError(f"{flag}.{name} {p}: must lie between 0 and 1")
    if not 0 <= j.hue <= 0.5:
        raise MocoError(f"{flag}.jitter.hue {j.hue}: must lie between 0 and 0.5")
    low, high = view.blur.sigma
    if not 0 < low <= high:
        raise MocoError(f"{flag}.blur.sigma {low} {high}: 0 < low <= high")
    if not 0 < view.keep <= 1:
        raise MocoError(f"{flag}.keep {view.keep}: a share of the patches, above 0 and at most 1")
