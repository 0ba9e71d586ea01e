"""Runs beside each other: their curves in one picture each, the settings that differ, and evaluations that all have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from moco.data.names import printable
from moco.pages.curves import Curve, Group, series
from moco.pages.drawing import Floats, Line, Plot, csv, svg, thin
from moco.pages.style import digest, script, style, template
from moco.pages.tables import Table, table_of
from moco.pages.tiles import Tile
from moco.pages.words import settings
from moco.protocols.result import Cell, Result
from moco.recipe import Recipe
from moco.run.log import Row

COLOURS = (
    ("#2f6fbf", "#6aa5ec"), ("#c26a12", "#e9a45c"), ("#2a8a4a", "#62c584"), ("#b3362c", "#ef8a82"),
    ("#7a52ad", "#b795e6"), ("#7a5646", "#c39c88"), ("#b8478f", "#ec8fc8"), ("#5d6570", "#a9b2bd"),
    ("#7d7c12", "#cfce5a"), ("#1b8796", "#5fcbd9"), ("#15386b", "#9ec2ef"), ("#7b3f06", "#f0c698"),
)  # fmt: skip
"""By day and by night."""

_POINTS = 3000
"""Points of a picture, over all runs."""

TONES = len(COLOURS)
"""Colours; runs beyond have them again, dashed."""


@dataclass(frozen=True)
class Compared:
    """One of the runs."""

    name: str
    recipe: Recipe
    rows: list[Row]
    results: list[Result] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    """What else may differ: images, device, version."""
    state: str = ""
    damaged: int = 0
    """Lines of its log that are no rows."""


@dataclass(frozen=True)
class Alike:
    """A query image, and what each run finds most similar: (name of the run, tiles)."""

    query: Tile
    found: list[tuple[str, list[Tile]]]


def tone(number: int) -> str:
    """The class of the colour of a run."""
    return f"run{number % TONES}" + (" dashed" if number >= TONES else "")


def overlaid(runs: Sequence[Compared]) -> list[Group]:
    """The curves of all runs over each other; one that no run has is left out."""
    watched = "High is good; comparable where the watched images are the same."
    won = "How often a query finds its key among all negatives. More negatives make it harder."
    learning = [
        *_loss(runs),
        *_drawn(runs, "knn", "kNN on the watched images", watched, "wide", percent=True),
        *_minutes(runs),
        *_drawn(runs, "accuracy", "Contrast accuracy", won, "half", percent=True),
        *_drawn(runs, "rank", "Effective rank", "In how many directions features vary; near 1 is collapsed.", "half"),
    ]
    going = [
        *_drawn(runs, "lr", "Learning rate", "As the recipes say.", "half", floor=0.0),
        *_drawn(
            runs, "images_per_second", "Speed", "Images a second; comparable on the same machine.", "half", floor=0.0
        ),
    ]
    groups = [Group("What did they learn?", learning), Group("How did they go?", going)]
    return [group for group in groups if group.curves]


def _loss(runs: Sequence[Compared]) -> list[Curve]:
    chances = [(n, float(found[-1])) for n, run in enumerate(runs) if len(found := series(run.rows, "chance")[1])]
    values = {round(chance, 6) for _, chance in chances}
    level = (chances[0][1], f"chance, {chances[0][1]:.2f}") if len(values) == 1 else None
    reading = "Low is good, but losses compare only between runs with the same negatives and temperature. "
    extra: list[Line] = []
    if level:
        reading += "The dashed line is chance, the same for all."
    elif chances:
        reading += "Each dashed line is the chance level of the run of its colour, ln(1 + negatives)."
        for number, chance in chances:
            steps = series(runs[number].rows, "chance")[0]
            ends = np.array([0.0, max(1.0, float(steps[-1]))])
            extra.append(Line(f"{runs[number].name}: chance", ends, np.full(2, chance), f"{tone(number)} chance"))
    return _drawn(runs, "loss", "Loss", reading, "wide", extra=extra, level=level)


def _minutes(runs: Sequence[Compared]) -> list[Curve]:
    """kNN over the minutes of training that it took."""
    lines = []
    for number, run in enumerate(runs):
        steps, values = series(run.rows, "knn")
        at = minutes(run)
        if len(steps) and len(at[0]):
            lines.append(Line(run.name, np.interp(steps, *at), values, tone(number)))
    reading = "What a minute of training gave: the higher and the further left, the better. Time spent in steps alone."
    return _curve(lines, "kNN against minutes", reading, "wide", percent=True, across="minutes")


def minutes(run: Compared) -> tuple[Floats, Floats]:
    """Steps, and the minutes of training up to each, over all sittings; both empty where the log has no rates."""
    steps, rates = series(run.rows, "images_per_second")
    if not len(steps):
        return steps, rates
    took = np.diff(steps, prepend=0.0).clip(min=0) * run.recipe.batch / np.maximum(rates, 1e-9) / 60
    return np.concatenate([[0.0], steps]), np.concatenate([[0.0], np.cumsum(took)])


def _drawn(
    runs: Sequence[Compared],
    name: str,
    title: str,
    reading: str,
    size: str,
    *,
    percent: bool = False,
    floor: float | None = None,
    extra: Sequence[Line] = (),
    level: tuple[float, str] | None = None,
) -> list[Curve]:
    found = [(number, run, *series(run.rows, name)) for number, run in enumerate(runs)]
    most = max(40, _POINTS // len(runs))
    lines = [
        Line(run.name, thin(steps, most), thin(values, most), tone(number))
        for number, run, steps, values in found
        if len(steps)
    ]
    if not lines:
        return []
    return _curve([*lines, *extra], title, reading, size, percent=percent, floor=floor, level=level)


def _curve(
    lines: Sequence[Line],
    title: str,
    reading: str,
    size: str,
    *,
    percent: bool = False,
    floor: float | None = None,
    level: tuple[float, str] | None = None,
    across: str = "step",
) -> list[Curve]:
    if not lines:
        return []
    ends = [value for line in lines for value in (float(line.values.min()), float(line.values.max()))]
    ends += [level[0]] if level else []
    low, high = min(ends), max(ends)
    margin = 0.06 * max(high - low, 1e-3 * max(abs(high), 1e-9))
    low, high = (0.0, min(1.02, max(0.05, 1.15 * high))) if percent else (low - margin, high + margin)
    low = floor if floor is not None else low
    last = max(float(line.steps.max()) for line in lines)
    plot = Plot(lines, last, low, high, percent=percent, level=level, legend=False, across=across)
    return [Curve(title, reading, svg(plot, size, title), size, csv(lines, across))]


def different(runs: Sequence[Compared]) -> list[tuple[str, list[str]]]:
    """(setting, its value in each run), of those that are not the same in all; first what is no setting."""
    found = []
    for name in dict.fromkeys(name for run in runs for name in run.about):
        found.append((name, [run.about.get(name, "") for run in runs]))
    leaves = [{s.name: s.value for s in settings(run.recipe)} for run in runs]
    for name in dict.fromkeys(name for one in leaves for name in one):
        found.append((name, [one.get(name, "") for one in leaves]))
    return [(name, values) for name, values in found if len(set(values)) > 1 and name != "name"]


def tables(runs: Sequence[Compared]) -> list[Table]:
    """One table for each evaluation, with a row for each run that was judged so: its own encoder alone."""
    kinds: dict[tuple[str, str, tuple[str, ...]], list[tuple[Compared, Result]]] = {}
    for run in runs:
        for result in run.results:
            kinds.setdefault((result.protocol, result.data, tuple(result.columns)), []).append((run, result))
    made = []
    for judged in kinds.values():
        first = judged[0][1]
        rows: dict[str, list[Cell]] = {run.name: next(iter(result.rows.values())) for run, result in judged}
        made.append(
            table_of(replace(first, rows=rows, note=_note(judged), contenders={}, when="", device="", seconds=0.0))
        )
    return made


def _note(judged: Sequence[tuple[Compared, Result]]) -> str:
    """What must be known of all alike; else a line for each run, as a note may speak of this encoder."""
    if len(judged) > 1 and len({result.note for _, result in judged}) == 1:
        return judged[0][1].note
    return "\n".join(f"{run.name}: {result.note}" for run, result in judged if result.note)


def compare_html(runs: Sequence[Compared], alike: Sequence[Alike], searched: int, notes: Sequence[str]) -> str:
    """The page: one file that loads nothing. Names stay text, whatever is in them."""
    js = script("page.js").decode()
    facts = [
        {"name": run.name, "tone": tone(number), "state": run.state, "cells": _cells(run)}
        for number, run in enumerate(runs)
    ]
    html = template("compare.html").render(
        runs=facts,
        colours=COLOURS,
        groups=overlaid(runs),
        different=different(runs),
        tables=tables(runs),
        alike=alike,
        searched=searched,
        nearest=max((len(found) for one in alike for _, found in one.found), default=1),
        notes=notes,
        style=style(),
        script=js,
        digest=digest(js),
    )
    return printable(html)


def _cells(run: Compared) -> list[str]:
    steps = f"{run.rows[-1]['step']:,}" if run.rows else "0"
    took = minutes(run)[1]
    spent = f"{took[-1]:,.1f}" if len(took) else ""
    last = {name: found[-1] for name in ("loss", "knn", "rank") if len(found := series(run.rows, name)[1])}
    return [
        steps,
        spent,
        f"{last['loss']:.3f}" if "loss" in last else "",
        f"{last['knn']:.1%}" if "knn" in last else "",
        f"{last['rank']:.1f}" if "rank" in last else "",
    ]
