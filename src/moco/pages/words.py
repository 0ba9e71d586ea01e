"""A recipe in words: what is done to an image, and by which settings the recipe differs from MoCo v2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moco.recipe import Jitter, Recipe, View, flatten, v2


@dataclass(frozen=True)
class Setting:
    """One line of the recipe."""

    name: str
    value: str
    standard: str
    """What MoCo v2 has."""
    differs: bool


def settings(recipe: Recipe) -> list[Setting]:
    """Every field by dotted name, beside its value in MoCo v2."""
    here, there = _leaves(recipe), _leaves(v2())
    return [
        Setting(name, value, there.get(name, "not there"), there.get(name) != value) for name, value in here.items()
    ]


def view_words(view: View, size: int) -> list[str]:
    """What is done to an image, an operation each, in its order; what never happens is left out."""
    low, high = view.scale
    words = [f"cut out {low:.0%} to {high:.0%} of its area, resized to {size} x {size} px: always"]
    words += _if(view.flip, "mirrored left to right")
    words += _if(view.flip_vertical, "turned upside down")
    words += _if(view.turn, "turned by 90, 180 or 270 degrees")
    for operation in view.order:
        match operation:
            case "jitter":
                words += _if(view.jitter.p if _jitter_words(view.jitter) else 0, _jitter_words(view.jitter))
            case "gray":
                words += _if(view.gray, "all colour taken out")
            case "blur":
                least, most = view.blur.sigma
                words += _if(view.blur.p, f"blurred by {least:g} to {most:g} px")
            case "solarize":
                words += _if(view.solarize, "bright values inverted")
    return words


def duration(seconds: float) -> str:
    """Hours and minutes, minutes and seconds, or seconds."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def _jitter_words(j: Jitter) -> str:
    parts = [
        f"{name} (±{amount:.0%})"
        for name, amount in (("brightness", j.brightness), ("contrast", j.contrast), ("saturation", j.saturation))
        if amount
    ]
    if j.hue:
        parts.append(f"hue (±{j.hue:.0%} of the colour wheel)")
    return f"{', '.join(parts)} changed" if parts else ""


def _if(p: float, words: str) -> list[str]:
    if p == 0:
        return []
    return [f"{words}: always" if p == 1 else f"{words}: {p:.0%} of the time"]


def _leaves(recipe: Recipe) -> dict[str, str]:
    kinds = {name: type(getattr(recipe, name)).__name__ for name in ("keys", "dictionary", "optim", "schedule")}
    leaves: dict[str, str] = {}
    for name, value in flatten(recipe).items():
        part = name.split(".")[0]
        if part in kinds:
            leaves[part] = kinds[part]
        leaves[name] = _shown(value)
    return leaves | {name: kind for name, kind in kinds.items() if name not in leaves}


def _shown(value: Any) -> str:
    match value:
        case bool() | None:
            return {True: "yes", False: "no", None: "none"}[value]
        case float():
            return f"{value:.6g}"
        case tuple() | list():
            return ", ".join(_shown(v) for v in value)
        case _:
            return str(value)
