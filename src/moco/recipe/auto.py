"""`auto`: MoCo v2 fitted to the data it is given, each choice with its reason in one line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

from moco.errors import MocoError
from moco.recipe.named import v2
from moco.recipe.parts import Recipe, Stem
from moco.recipe.plain import override
from moco.recipe.views import named_views

BUDGET = 20_000
"""Steps of an ordinary run: the length of the official CIFAR-10 demo (200 epochs of 97 steps)."""

FEWEST_IMAGES = 16
"""Images below which there is nothing to contrast."""

FEWEST, MOST = 20, 800
"""Epochs of a run whose length the data do not ask for otherwise; 800 are the longest of the papers."""

RATE = 0.03
"""Learning rate for 256 images, the papers'."""

SHORT = 1000
"""Steps up to which a run asked for by the data is short: it takes twice the rate and a quicker key encoder."""

SHORT_OF_TIME = 4000
"""The same for a run whose length is a time."""

LONG = 2_000_000
"""Images seen from which on a run whose length is a time has batches of 256: below, more steps of 128 teach more."""

SMALL = 64
"""Pixels up to which views are small: there a run whose length is a time takes twice the rate, however long it is
(docs/auto.md)."""

LONG_QUEUE = 16384
"""Keys from which on v2's temperature fits; shorter queues go with that of the official CIFAR-10 demo."""

QUEUE_SHARE = 65536 / 1_281_167
"""K over the images of ImageNet, the share that the papers' queue has of their data."""


@dataclass(frozen=True)
class DataFacts:
    """What `auto` looks at: how many images, and the median of their shorter sides in pixels."""

    images: int
    short_side: int


@dataclass(frozen=True)
class Choice:
    """One decision: the flag that changes it, the value, and why."""

    flag: str
    value: str
    reason: str


@dataclass(frozen=True)
class Network:
    """A backbone and the size of the images that it sees, and from how many images seen on it is worth its cost."""

    backbone: str
    stem: Stem
    size: int
    worth: int
    """Images, repeats counted."""


LADDER = (
    Network("resnet10w16", "half", 32, 0),
    Network("resnet10w32", "half", 32, 100_000),
    Network("resnet10w64", "half", 32, 1_500_000),
    Network("resnet18", "half", 32, 4_000_000),
    Network("resnet18", "half", 64, 6_000_000),
    Network("resnet18", "imagenet", 128, 8_000_000),
    Network("resnet18", "imagenet", 192, 12_000_000),
    Network("resnet50", "imagenet", 224, 20_000_000),
)
"""Networks in the order of their cost, for runs whose length is a time."""


@dataclass(frozen=True)
class Length:
    """How long a run is, where that is a time: a network that this machine trains on so many images in it, and why."""

    network: Network
    images: int
    """Images that are seen, repeats counted."""
    time: str
    """The time, in words."""
    why: str = ""
    """Why this network, in words."""


def networks(facts: DataFacts, fixed: dict[str, Any]) -> list[Network]:
    """The networks to choose from: at most as fine as the images, of what the user has fixed, in the order of cost."""
    size = fixed.get("image_size")
    side = max(32, facts.short_side)
    found = [n for n in LADDER if n.size <= side] if size is None else [replace(n, size=size) for n in LADDER]
    backbone, stem = fixed.get("encoder.backbone"), fixed.get("encoder.stem")
    if backbone is not None:
        narrow: Stem = stem or ("half" if re.fullmatch(_RESNET, backbone) else "imagenet")
        found = [replace(n, backbone=backbone, stem=narrow) for n in found]
    elif stem is not None:
        found = [replace(n, stem=stem) for n in found]
    kept: dict[tuple[str, str, int], Network] = {}
    for n in found:
        kept.setdefault((n.backbone, n.stem, n.size), n)
    return list(kept.values())


_RESNET = r"resnet\d+(w\d+)?"


def auto(
    facts: DataFacts,
    views: str = "photos",
    steps: int | None = None,
    fixed: dict[str, Any] | None = None,
    length: Length | None = None,
) -> tuple[Recipe, list[Choice]]:
    """The recipe for this data, and the choices made; `fixed` holds fields the user has set, by dotted name.

    With `length` the network and the steps are those that fit a time. A choice that depends on another (lr on batch, m
    on the steps in an epoch) takes the user's value of that other where there is one. Raises MocoError where there are
    too few images to contrast.
    """
    refuse_too_few(facts.images)
    fitting = _Fitting(fixed or {})
    if length is None:
        _fit_network(fitting, facts)
    else:
        _take_network(fitting, facts, length)
    _fit_batch_and_queue(fitting, facts, most=256 if length is None or length.images >= LONG else 128)
    if length is None:
        _fit_time(fitting, facts, steps)
    else:
        _take_time(fitting, facts, length)
    recipe = replace(v2(), name="auto", query_view=named_views(views))
    recipe = override(recipe, fitting.values | fitting.fixed)
    views_reason = "flips and colour changes of ordinary photographs" if views == "photos" else "as named"
    return recipe, [Choice("--views", views, views_reason), *fitting.choices]


def refuse_too_few(images: int) -> None:
    """Raise MocoError for fewer images than can be contrasted."""
    if images < FEWEST_IMAGES:
        raise MocoError(f"{images} images are too few to contrast with each other; give at least {FEWEST_IMAGES}")


class _Fitting:
    """Values decided so far; what the user fixed is never decided again."""

    def __init__(self, fixed: dict[str, Any]) -> None:
        self.fixed = fixed
        self.values: dict[str, Any] = {"schedule.per": "step"}
        self.choices: list[Choice] = []

    def choose(self, field: str, value: Any, reason: str) -> Any:
        """Note a choice, unless the user made it; the value that holds."""
        if field in self.fixed:
            return self.fixed[field]
        self.values[field] = value
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)
        self.choices.append(Choice("--" + field.replace("_", "-"), shown, reason))
        return value


def _fit_network(fit: _Fitting, facts: DataFacts) -> None:
    side = facts.short_side
    smaller = f"half of the images have a short side of {side} px or less"
    reason = smaller if side < 224 else "the papers' size; the images are larger"
    size = fit.choose("image_size", min(224, max(32, side // 32 * 32)), reason)
    small = size < 64
    if facts.images >= 300_000 and size >= 96:
        choice = "resnet50", f"{facts.images:,} images fill it, as in the papers"
    elif facts.images < 20_000 and small:
        choice = "resnet10w16", f"a small, narrow ResNet: {facts.images:,} small images do not fill a larger one"
    else:
        choice = "resnet18", f"{facts.images:,} images do not fill a ResNet-50"
    backbone = fit.choose("encoder.backbone", *choice)
    if not re.fullmatch(_RESNET, backbone):
        fit.choose("encoder.stem", "imagenet", f"{backbone} has its own")
    elif small:
        fit.choose("encoder.stem", "small", f"{size} px leave nothing to a stem of stride 4")
    else:
        fit.choose("encoder.stem", "imagenet", f"{size} px are enough for a stem of stride 4")


def _take_network(fit: _Fitting, facts: DataFacts, length: Length) -> None:
    network = length.network
    fit.choose("image_size", network.size, length.why)
    fit.choose("encoder.backbone", network.backbone, f"chosen together with the size for {length.time} on this machine")
    fit.choose("encoder.stem", network.stem, "the first convolution, by the size of the images it sees")


def _take_time(fit: _Fitting, facts: DataFacts, length: Length) -> None:
    batch = int(fit.fixed["batch"] if "batch" in fit.fixed else fit.values["batch"])
    steps = max(1, length.images // batch)
    per_epoch = max(1, facts.images // max(1, batch))
    fit.values["epochs"] = None
    steps = int(
        fit.choose(
            "steps", steps, f"what {length.time} allow here: each image about {_times(steps * batch / facts.images)}"
        )
    )
    short = steps <= SHORT_OF_TIME
    higher = short or length.network.size <= SMALL
    _fit_pace(fit, steps / per_epoch, per_epoch, batch, short, higher, warm=min(100, 0.1 * steps))


def _times(often: float) -> str:
    return f"{often:.0f} times" if often >= 1.95 else f"{often:.1f} times"


def _fit_batch_and_queue(fit: _Fitting, facts: DataFacts, most: int) -> None:
    batch = _fit_batch(fit, facts, most)
    group = max((g for g in range(2, min(32, max(2, batch // 2)) + 1) if batch % g == 0), default=batch)
    part = f"a part of the batch of {batch}, so that keys can be shuffled between groups"
    fit.choose("encoder.norm_group", group, "BatchNorm over 32 images, as in the papers" if group == 32 else part)
    share = _power_of_two_below(facts.images * QUEUE_SHARE * 1.03)
    size = min(65536, max(share, 2 * batch))
    size = size if size < facts.images else batch
    reason = f"{size / facts.images:.0%} of the images; the papers' queue holds 5 % of ImageNet"
    size = int(fit.choose("dictionary.size", size, reason))
    if size >= LONG_QUEUE:
        fit.choose("loss.temperature", 0.2, "v2's, for a long queue")
    else:
        fit.choose("loss.temperature", 0.1, f"the official CIFAR-10 demo's, for a queue of {size:,}")


def _fit_batch(fit: _Fitting, facts: DataFacts, most: int) -> int:
    """256 as in the papers; less for few images, and what fits the queue and the groups that the user has set."""
    room = _power_of_two_below(facts.images / 8)
    reason = "as in the papers" if most == 256 else "half of the papers', for twice the steps in the time"
    if room < most:
        reason = f"an eighth of {facts.images:,} images at most"
    if room < 4:
        reason = "the least that can be contrasted in two groups"
    batch = max(4, min(most, room))
    keys = batch * (2 if fit.fixed.get("loss.symmetric") else 1)
    if 0 < fit.fixed.get("dictionary.size", keys) < keys:
        batch, reason = batch * fit.fixed["dictionary.size"] // keys, "no more keys a step than the queue holds"
    group = fit.fixed.get("encoder.norm_group")
    if group and group > 1 and batch % group:
        batch, reason = max(1, batch // group) * group, f"a multiple of the BatchNorm group of {group}"
    return int(fit.choose("batch", batch, reason))


def _fit_time(fit: _Fitting, facts: DataFacts, steps: int | None) -> None:
    batch = int(fit.fixed["batch"] if "batch" in fit.fixed else fit.values["batch"])
    steps_per_epoch = max(1, facts.images // max(1, batch))
    if (given := fit.fixed.get("steps")) is not None:
        _fit_pace(fit, given / steps_per_epoch, steps_per_epoch, batch, given <= SHORT, given <= SHORT)
        return
    epochs = max(1, round((steps or BUDGET) / steps_per_epoch))
    reason = f"about {steps or BUDGET:,} steps of {batch} images, {steps_per_epoch:,} an epoch"
    if steps is None and not FEWEST <= epochs <= MOST:
        epochs = min(max(epochs, FEWEST), MOST)
        reason = (
            f"{'at least' if epochs == FEWEST else 'at most'}; {epochs * steps_per_epoch:,} steps of {batch} images"
        )
    epochs = int(fit.choose("epochs", epochs, reason))
    short = steps is not None and steps <= SHORT
    _fit_pace(fit, epochs, steps_per_epoch, batch, short, short)


def _fit_pace(
    fit: _Fitting, epochs: float, steps_per_epoch: int, batch: int, short: bool, higher: bool, warm: float | None = None
) -> None:
    """A `short` run has the quicker key encoder, one with the `higher` rate twice the papers'."""
    horizon = min(1000, max(20 if short else 100, steps_per_epoch))
    why = {1000: "as in the papers", steps_per_epoch: "an epoch"}.get(horizon, "the least that is steady")
    fit.choose("keys.m", round(1 - 1 / horizon, 4), f"the key encoder averages over {horizon:,} steps, {why}")
    rate = 2 * RATE if higher else RATE
    reason = f"{rate} for 256 images{'' if batch == 256 else f', so for {batch}'}"
    twice = f"; twice the papers', {'in a short run' if short else 'for small views'}" if higher else ""
    fit.choose("optim.lr", rate * batch / 256, reason + twice)
    if warm is not None:
        fit.choose("schedule.warmup_epochs", round(warm / steps_per_epoch, 4), f"a slow start of {warm:.0f} steps")
        return
    warmup = min(10.0, 0.5 * epochs, max(0.15 * epochs, 100 / steps_per_epoch))
    fit.choose("schedule.warmup_epochs", round(warmup, 2), "a slow start, about 100 steps or more")


def _power_of_two_below(x: float) -> int:
    return 1 << max(0, math.floor(math.log2(max(x, 1))))
