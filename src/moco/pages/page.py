"""The page: what a run directory holds, laid out for a person who has never seen one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moco.data.loader import Plan
from moco.data.names import printable
from moco.pages.alike import Shown
from moco.pages.beside import sides
from moco.pages.chosen import chosen
from moco.pages.contrasted import seen_words
from moco.pages.curves import curves, series
from moco.pages.pairs import Pairs
from moco.pages.pictures import EPOCHS, Neighbours, ViewRow
from moco.pages.style import digest, script, template
from moco.pages.tables import table_of
from moco.pages.words import duration, settings, view_words
from moco.protocols.result import Result
from moco.recipe import Recipe
from moco.run.directory import PAIRS, RunDirectory
from moco.run.log import Row, readable_rows

MOST_SKIPPED = 50
"""Skipped files that are listed; the rest are counted."""


@dataclass
class Pictures:
    """What was made of the images of a run, and why the rest was not."""

    views: list[ViewRow] = field(default_factory=list)
    neighbours: Neighbours | None = None
    pairs: Pairs | None = None
    reasons: list[Shown] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fact:
    """A number about the run, with what it is and what belongs to it."""

    name: str
    value: str
    more: str


def page(run: RunDirectory, results: list[Result], pictures: Pictures) -> str:
    """The HTML of a run, of which only the recipe need be there. File names stay text, whatever is in them."""
    recipe, (rows, damaged) = run.recipe(), readable_rows(run.log)
    environment = run.read("environment.json")
    js = script("page.js").decode()
    skipped = _skipped(run.skipped)
    html = template("page.html").render(
        name=run.path.resolve().name,
        path_in_python=json.dumps(str(run.path), ensure_ascii=False),
        path_in_shell=shlex.quote(str(run.path)),
        health=_health(rows),
        verdict=run.read("verdict.json").get("sentence", ""),
        chosen=chosen(run.read("auto.json")),
        facts=_facts(run, recipe, rows, pictures),
        placement=run.read("machine.json").get("placement", ""),
        size=recipe.image_size,
        width=pictures.neighbours.width if pictures.neighbours else None,
        has_encoder=run.encoder.exists(),
        damaged=damaged,
        groups=curves(rows, recipe),
        script=js,
        script_digest=digest(js),
        tables=[table_of(result) for result in results],
        sides=sides(run),
        pictures=pictures,
        epochs=EPOCHS,
        seen_words=seen_words(recipe),
        query_words=view_words(recipe.query_view, recipe.image_size),
        key_words=view_words(recipe.key_view, recipe.image_size) if recipe.key_view else [],
        skipped=skipped[:MOST_SKIPPED],
        skipped_count=len(skipped),
        settings=settings(recipe),
        command=_command(environment.get("command", [])),
        environment={name: value for name, value in environment.items() if name != "command"},
    )
    return printable(html)


def _command(arguments: Sequence[str]) -> str:
    """What to type to have it again: by the name of the command, wherever it lay."""
    first = Path(arguments[0]).name if arguments else ""
    return shlex.join(["moco", *arguments[1:]] if first in ("moco", "__main__.py") else arguments)


def _health(rows: list[Row]) -> dict[str, str]:
    """The last verdict, and one word for its level."""
    last = next((row for row in reversed(rows) if row.get("health")), None)
    if last is None:
        return {"level": "none", "word": "Starting", "sentence": "no step of this run has been written down yet"}
    level = str(last.get("level", "normal"))
    word = {"normal": "Normal", "look": "Worth a look", "bad": "Something is wrong"}.get(level, level)
    sentence = str(last["health"]).removeprefix("normal: ")
    return {"level": level, "word": word, "sentence": sentence}


def _facts(run: RunDirectory, recipe: Recipe, rows: list[Row], pictures: Pictures) -> list[Fact]:
    data = run.read("data.json")
    images, done = data.get("images", 0), rows[-1]["step"] if rows else 0
    steps = Plan(images, recipe.batch, recipe.epochs, recipe.seed, recipe.steps).steps
    seconds = _seconds(rows, recipe.batch)
    width = f", {pictures.neighbours.width:,} features" if pictures.neighbours else ""
    facts = [
        Fact("Images", f"{images:,}" if images else "unknown", data.get("data", "")),
        Fact("Recipe", recipe.name, f"batches of {recipe.batch:,}"),
        Fact("Encoder", recipe.encoder.backbone, f"{recipe.image_size} px{width}"),
        Fact("Steps", f"{done:,}", _of(done, steps)),
    ]
    facts += _known(run, recipe)
    if seconds:
        trained = series(rows, "images_per_second")[0][-1] * recipe.batch
        facts.append(Fact("Training time", duration(seconds), f"{trained / seconds:,.0f} images/s"))
    return facts


def _known(run: RunDirectory, recipe: Recipe) -> list[Fact]:
    """What is known of images beside their pixels."""
    pairs, facts = run.read(PAIRS), []
    if recipe.groups is not None and pairs:
        each = f"{recipe.positives} positives a query" if recipe.positives > 1 else "one positive a query"
        facts.append(Fact("Groups", f"{pairs.get('groups', 0):,}", f"by {pairs.get('pairs', '')}, {each}"))
    if recipe.text is not None:
        tower = recipe.text.tower or f"own, {recipe.text.layers} layers, {recipe.text.width} wide"
        facts.append(Fact("Texts", f"{recipe.text.length} words", f"tower: {tower}"))
    return facts


def _of(done: int, steps: int) -> str:
    if not steps:
        return ""
    return f"of {steps:,}, {'finished' if done >= steps else f'{100 * done // steps}%'}"


def _seconds(rows: list[Row], batch: int) -> float:
    """Time spent in steps, over all sittings."""
    steps, rates = series(rows, "images_per_second")
    before, seconds = 0.0, 0.0
    for step, rate in zip(steps.tolist(), rates.tolist(), strict=True):
        seconds += (step - before) * batch / max(rate, 1e-9)
        before = step
    return seconds


def _skipped(path: Path) -> list[tuple[str, str]]:
    """Name and reason of each file that could not be read."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return [
        (name or reason, reason if name else "")
        for name, _, reason in (line.rpartition("\t") for line in lines if line)
    ]
