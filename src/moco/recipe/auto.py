"""`auto`: MoCo v2 fitted to the data it is given, each choice with its reason in one line."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from moco.errors import MocoError
from moco.recipe.named import v2
from moco.recipe.parts import Recipe
from moco.recipe.plain import override
from moco.recipe.views import named_views

BUDGET = 20_000
"""Steps of an ordinary run: the length of the official CIFAR-10 demo (200 epochs of 97 steps)."""

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


def auto(
    facts: DataFacts, views: str = "photos", steps: int = BUDGET, fixed: dict[str, Any] | None = None
) -> tuple[Recipe, list[Choice]]:
    """The recipe for this data, and the choices made; `fixed` holds fields the user has set, by dotted name.

    A choice that depends on another (lr on batch, m on the steps in an epoch) takes the user's value of that other
    where there is one. Raises MocoError where there are too few images to contrast.
    """
    if facts.images < 16:
        raise MocoError(f"{facts.images} images are too few to contrast with each other; give at least 16")
    fitting = _Fitting(fixed or {})
    _fit_network(fitting, facts)
    _fit_batch_and_queue(fitting, facts)
    _fit_time(fitting, facts, steps)
    recipe = replace(v2(), name="auto", query_view=named_views(views))
    recipe = override(recipe, fitting.values | fitting.fixed)
    views_reason = "flips and colour changes of ordinary photographs" if views == "photos" else "as named"
    return recipe, [Choice("--views", views, views_reason), *fitting.choices]


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
    size = fit.choose(
        "image_size",
        min(224, max(32, side // 32 * 32)),
        f"half of the images have a short side of {side} px or less"
        if side < 224
        else "the papers' size; the images are larger",
    )
    small = size < 64
    fit.choose(
        "encoder.stem",
        "small" if small else "imagenet",
        f"{size} px {'leave nothing to' if small else 'are enough for'} a stem of stride 4",
    )
    if facts.images >= 300_000 and size >= 96:
        fit.choose("encoder.backbone", "resnet50", f"{facts.images:,} images fill it, as in the papers")
    elif facts.images < 20_000 and small:
        fit.choose(
            "encoder.backbone",
            "resnet18w16",
            f"a narrow ResNet-18: {facts.images:,} small images do not fill a wide one",
        )
    else:
        fit.choose("encoder.backbone", "resnet18", f"{facts.images:,} images do not fill a ResNet-50")


def _fit_batch_and_queue(fit: _Fitting, facts: DataFacts) -> None:
    room = _power_of_two_below(facts.images / 8)
    batch = fit.choose(
        "batch",
        max(4, min(256, room)),
        "as in the papers" if room >= 256 else f"an eighth of {facts.images:,} images at most",
    )
    divisors = [g for g in range(2, min(32, max(2, batch // 4)) + 1) if batch % g == 0]
    group = divisors[-1] if divisors else batch
    fit.choose(
        "encoder.norm_group",
        group,
        "BatchNorm over 32 images, as in the papers"
        if group == 32
        else f"a part of the batch of {batch}, so that keys can be shuffled between groups",
    )
    share = _power_of_two_below(facts.images * QUEUE_SHARE * 1.03)
    size = min(65536, max(share, 2 * batch))
    size = size if size < facts.images else batch
    fit.choose(
        "dictionary.size", size, f"{size / facts.images:.0%} of the images; the papers' queue holds 5 % of ImageNet"
    )


def _fit_time(fit: _Fitting, facts: DataFacts, steps: int) -> None:
    batch = int(fit.fixed["batch"] if "batch" in fit.fixed else fit.values["batch"])
    steps_per_epoch = max(1, facts.images // batch)
    fit.choose(
        "epochs",
        max(1, round(steps / steps_per_epoch)),
        f"about {steps:,} steps of {batch} images, {steps_per_epoch:,} an epoch",
    )
    horizon = min(1000, max(20, steps_per_epoch))
    why = {1000: "as in the papers", steps_per_epoch: "an epoch"}.get(horizon, "the least that is steady")
    fit.choose("keys.m", round(1 - 1 / horizon, 4), f"the key encoder averages over {horizon:,} steps, {why}")
    fit.choose("optim.lr", 0.03 * batch / 256, f"0.03 for 256 images, in proportion for {batch}")


def _power_of_two_below(x: float) -> int:
    return 1 << max(0, math.floor(math.log2(max(x, 1))))
