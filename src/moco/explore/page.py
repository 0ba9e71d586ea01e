"""The page of a map, served by `moco explore` or exported: its HTML, and the files that it loads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moco.data.names import number_of, printable
from moco.explore.database import TABLE, Database
from moco.explore.kept import About
from moco.explore.points import COLOURS, points
from moco.explore.table import SHOWN
from moco.pages.style import style, template

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' blob: data:; font-src data:"
)
"""What the page may load: nothing from anywhere else."""

SCRIPTS = ("explore.js", "explore-map.js", "parts.js")
"""Of the page, beside the one that says where it asks."""

_KINDS = ("label", "folder", "group", "cluster", "copies")
"""Columns of words, by which a map is coloured."""

_MOST_BARS = 1000
"""Values of a column up to which they are counted in bars."""


@dataclass(frozen=True)
class Can:
    """What a page can do beyond the map."""

    image: bool
    """Find by an image."""
    text: bool
    """Find by words."""
    whole: bool
    """Show images larger than their tiles."""


def page_parts(about: About, database: Database, can: Can) -> tuple[str, bytes]:
    """The HTML, and the block of points beside it. File names are no part of the HTML; other names stay text."""
    there = {name for (name,) in database.rows(f"SELECT column_name FROM (DESCRIBE {TABLE})")}
    columns = [name for name in SHOWN if name in there]
    kinds = {name: _distinct(database, name) for name in _KINDS if name in there}
    counted = [name for name, n in kinds.items() if n > (name != "copies")]
    measured = [name for name in ("distance", "outlier", "loss") if name in there]
    made = points(database, counted, measured)
    first = next((name for name in ("label", "folder") if 1 < kinds.get(name, 0) <= COLOURS), "cluster")
    facts: dict[str, Any] = {
        "table": TABLE,
        "images": about.images,
        "columns": columns,
        "meanings": SHOWN,
        "colours": made.columns,
        "colour": first,
        "counted": [name for name in counted if kinds[name] <= _MOST_BARS],
        "measured": measured,
        "whole": can.whole,
    }
    html = template("explore.html").render(
        title=about.encoder.rstrip("/").rpartition("/")[2] or about.encoder,
        subtitle=f"{number_of(about.images, 'image')} of {short(about.data)}, {about.width:,} features each",
        notes=about.notes,
        style=style(),
        policy=POLICY,
        by_image=can.image,
        by_text=can.text,
        facts=json.dumps(facts).replace("<", "\\u003c"),
    )
    return printable(html), made.block


def short(data: str) -> str:
    """A path as a page shows it: from the working directory on, or its last two parts; other names as they are."""
    path = Path(data)
    if not path.is_absolute():
        return data
    here = Path.cwd()
    return str(path.relative_to(here)) if path != here and path.is_relative_to(here) else "/".join(path.parts[-2:])


def _distinct(database: Database, column: str) -> int:
    return int(database.rows(f'SELECT COUNT(DISTINCT "{column}") FROM {TABLE}')[0][0])
