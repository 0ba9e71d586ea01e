"""What `auto` tried before a run, for the page about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from moco.pages.words import duration


@dataclass(frozen=True)
class Chosen:
    """The sets of views that were tried, the networks that were measured, and what more time would change."""

    sentence: str
    views: list[list[str]] = field(default_factory=list)
    """Name, steps, and each score as a share in percent."""
    scores: list[str] = field(default_factory=list)
    """The names of the scores."""
    networks: list[list[str]] = field(default_factory=list)
    """Backbone, pixels, images a second, and whether that was measured."""
    outlook: str = ""


def chosen(record: dict[str, Any]) -> Chosen | None:
    """From what auto.json holds; None where the run has none."""
    if not record:
        return None
    searched = record.get("views") or {"tried": [], "seconds": 0.0}
    tried = searched["tried"]
    names = list(tried[0]["scores"]) if tried else []
    sentence = searched.get("why") or "the views were not searched: they were named, or the time was too short"
    if tried:
        sentence = (
            f"{len(tried)} sets of views were tried without labels in {duration(searched['seconds'])}; those that came "
            "furthest first, and of these the one whose features tell best how an image is turned"
        )
    networks = [
        [
            rate["network"]["backbone"],
            f"{rate['network']['size']} px",
            f"{1 / rate['seconds']:,.0f}",
            "measured" if rate["measured"] else "told from its cost",
        ]
        for rate in record.get("rates", [])
    ]
    views = [
        [one["views"], f"{one['steps']:,}", *(f"{100 * one['scores'][name]:.1f}" for name in names)] for one in tried
    ]
    return Chosen(sentence, views, names, networks, str(record.get("outlook", "")))
