"""The live page of all runs in a folder: its HTML, and what it asks for as it goes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from moco.data.names import printable
from moco.pages.curves import curves
from moco.pages.style import style, template
from moco.run.log import Row

POLICY = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'"
"""What the page may load: itself, and nothing from anywhere else."""

SCRIPTS = ("watch.js", "parts.js")
_POINTS = 40


def watch_html(folder: str) -> str:
    """The page."""
    return printable(template("watch.html").render(folder=folder, style=style()))


def small_curve(values: Sequence[float]) -> list[int]:
    """At most _POINTS of the values, from 0 at the lowest to 100 at the highest."""
    if not values:
        return []
    few = [values[round(i * (len(values) - 1) / (_POINTS - 1))] for i in range(_POINTS)] if len(values) > 1 else [0.0]
    few = few if len(values) > _POINTS else list(values)
    low, high = min(few), max(few)
    return [round(100 * (v - low) / (high - low)) if high > low else 50 for v in few]


def details(rows: list[Row], lines: list[str]) -> bytes:
    """The curves of one run as the report draws them, and the last lines of its log, as JSON."""
    groups = [asdict(group) for group in curves(rows)] if rows else []
    return json.dumps({"groups": groups, "lines": [printable(line) for line in lines]}).encode()
