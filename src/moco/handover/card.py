"""The model card of a huggingface folder, written from the run: data, recipe, curve, evaluations, how to load it."""

from __future__ import annotations

import io
from pathlib import Path

from moco.handover.parcel import Parcel
from moco.pages.curves import series
from moco.pages.tables import Table, table_of
from moco.pages.words import settings, view_words
from moco.protocols.result import read_results
from moco.recipe import Recipe
from moco.run.atomic import write_atomically, write_text
from moco.run.directory import RunDirectory
from moco.run.log import Row, read_log
from moco.version import VERSION

CURVE = "loss.png"


def write_card(path: Path, parcel: Parcel, usage: str) -> None:
    """README.md with the front matter that the hub reads, and beside it the curve of the loss, where a run is known."""
    opened, run = parcel.opened, parcel.opened.run
    rows = read_log(run.log) if run is not None else []
    parts = [_FRONT, f"# {parcel.architecture.words[0].upper()}{parcel.architecture.words[1:]}, by Momentum Contrast"]
    if not opened.trained:
        parts.append("**These weights are random: nothing has been learnt.**")
    parts.append(
        f"An encoder of images: {opened.about}. It maps an image of {parcel.size} x {parcel.size} px to features."
    )
    parts.append(f"## How to load it\n\n```python\n{usage}\n```")
    if run is not None:
        parts.append(_data_words(run))
    if len(rows) > 1 and _draw_loss(path.with_name(CURVE), rows):
        parts.append(f"## Curve\n\n![Loss over steps]({CURVE})\n\n{_last_words(rows)}")
    parts += _evaluations(run)
    if opened.recipe is not None:
        parts.append(_recipe_words(opened.recipe))
    parts.append("## Licence\n\nTo be filled in by whoever publishes it, here and in the first lines of this file.")
    parts.append(f"Written by moco {VERSION}.")
    write_text(path, "\n\n".join(parts) + "\n")


_FRONT = """---
license: other
license_name: to-be-filled-in
library_name: transformers
pipeline_tag: image-feature-extraction
tags:
- self-supervised-learning
- momentum-contrast
---"""


def _data_words(run: RunDirectory) -> str:
    record, environment = run.read("data.json"), run.read("environment.json")
    images = f"{record['images']:,} images without labels" if record else "not recorded"
    started = f" Started {environment['started']}." if "started" in environment else ""
    return f"## Data\n\nLearnt from {images}.{started} Say here where the images come from and what they show."


def _last_words(rows: list[Row]) -> str:
    steps, values = series(rows, "loss")
    return f"After {steps[-1]:,.0f} steps the loss is {values[-1]:.3f}."


def _draw_loss(path: Path, rows: list[Row]) -> bool:
    """Whether there was a curve to draw."""
    from matplotlib.figure import Figure

    steps, values = series(rows, "loss")
    if len(steps) < 2:
        return False
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, values, linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_atomically(path, lambda file: file.write(buffer.getbuffer()))
    return True


def _evaluations(run: RunDirectory | None) -> list[str]:
    results = read_results(run.evaluations)[0] if run is not None else []
    if not results:
        return ["## Evaluations\n\nNone were made (`moco evaluate`)."]
    return ["## Evaluations", *(_table(table_of(result)) for result in results)]


def _table(table: Table) -> str:
    lines = [f"### {_cell(table.title)}", ""]
    lines.append("| | " + " | ".join(map(_cell, table.columns)) + " |")
    lines.append("|---|" + "---|" * len(table.columns))
    for row in table.rows:
        cells = [s.value + (f" ± {s.spread}" if s.spread else "") for s in row.scores]
        lines.append(f"| {_cell(row.name)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *([table.note, ""] if table.note else []), table.foot])


def _recipe_words(recipe: Recipe) -> str:
    lines = [f"## Recipe\n\n`{recipe.name}`. Views of an image, each step:", ""]
    lines += [f"- {words}" for words in view_words(recipe.query_view, recipe.image_size)]
    lines += ["", "| setting | value | MoCo v2 |", "|---|---|---|"]
    lines += [
        f"| {s.name} | {_cell(s.value)} | {'' if not s.differs else _cell(s.standard)} |" for s in settings(recipe)
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text in a table, on one line."""
    return text.replace("|", "\\|").replace("\n", " ")
