"""What was done to an image to make one view of it, and which flag of the recipe says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moco.drawn import disturbance_of, key_of, photometry_of
from moco.recipe import Jitter
from moco.views import KEY, Views


@dataclass(frozen=True)
class Deed:
    """One thing that was done."""

    flag: str
    """As on the command line, without the dashes."""
    words: str
    short: str
    """The same in a word or two."""


def happened(views: Views, shape: Sequence[int], index: int, epoch: int, number: int) -> list[Deed]:
    """What makes view `number` (0 query, 1 key) of image `index`, H x W = `shape`, in an epoch; in its order.

    Drawn again by the functions that draw it in training.
    """
    view = views.views[number]
    prefix = "key-view" if number == KEY and views.own_key else "query-view"
    place = views.geometry(np.array([shape[:2]]), np.array([index]), epoch)[number]
    key = key_of(views.seed, epoch, np.array([index]), number)
    light = photometry_of(view, key)
    top, left, height, width = place.boxes[0].tolist()
    share = height * width / (shape[0] * shape[1])
    deeds = [
        Deed("scale", f"cut out {share:.0%} of the area, {width} x {height} px at {left}, {top}", f"{share:.0%}"),
    ]
    if place.flip[0]:
        deeds.append(Deed("flip", "mirrored left to right", "mirrored"))
    if place.flip_vertical[0]:
        deeds.append(Deed("flip-vertical", "turned upside down", "upside down"))
    if quarter := int(place.quarter[0]):
        deeds.append(Deed("turn", f"turned by {90 * quarter} degrees", f"{90 * quarter}°"))
    for operation in view.order:
        match operation:
            case "jitter" if light.jitter[0]:
                drawn = {name: float(getattr(light, name)[0]) for name in _SETTINGS}
                deeds += _jitter(view.jitter, drawn, light.order[0].tolist())
            case "gray" if light.gray[0]:
                deeds.append(Deed("gray", "all colour taken out", "gray"))
            case "blur" if light.blur[0]:
                deeds.append(Deed("blur.p", f"blurred by {light.sigma[0]:.1f} px", f"blur {light.sigma[0]:.1f}"))
            case "solarize" if light.solarize[0]:
                deeds.append(Deed("solarize", "bright values inverted", "solarized"))
            case _:
                pass
    bands = disturbance_of(view, views.channels, key)
    if gone := [str(c) for c in np.flatnonzero(~bands.keep[0]).tolist()]:
        deeds.append(Deed("bands.drop", f"channel {', '.join(gone)} taken out", f"no band {','.join(gone)}"))
    if view.bands.gain or view.bands.offset:
        deeds.append(Deed("bands.gain", "each channel brighter or darker by its own", "bands"))
    if bands.gaussian[0] or bands.speckle[0]:
        deeds.append(Deed("noise.p", "noise added", "noise"))
    return [Deed(f"{prefix}.{one.flag}", one.words, one.short) for one in deeds]


def in_words(deeds: Sequence[Deed]) -> str:
    """All in a sentence."""
    return "; ".join(one.words for one in deeds)


def in_short(deeds: Sequence[Deed]) -> str:
    """All in a few words."""
    return ", ".join(one.short for one in deeds)


_SETTINGS = ("brightness", "contrast", "saturation", "hue")


def _jitter(jitter: Jitter, drawn: dict[str, float], order: Sequence[int]) -> list[Deed]:
    """The four changes of colour, in the order in which they are made; those of no size are left out."""
    words = []
    for name in (_SETTINGS[n] for n in order):
        if getattr(jitter, name):
            by = f"turned by {drawn[name]:+.2f}" if name == "hue" else f"x {drawn[name]:.2f}"
            words.append(f"{name} {by}")
    return [Deed("jitter.p", ", ".join(words), "colours")] if words else []
