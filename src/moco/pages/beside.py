"""The same run with and without `--init`: what each reached, side by side, where both are in one folder."""

from __future__ import annotations

from dataclasses import dataclass

from moco.errors import MocoError
from moco.protocols.result import Result, number_words, read_results
from moco.recipe import flatten
from moco.run.directory import BEGINNING, RunDirectory, is_run
from moco.run.log import Row, readable_rows

_MEASURES = {
    "knn": "kNN, % (of --watch)",
    "rotation": "quarter turns found, %",
    "rank": "effective rank",
    "alignment": "alignment",
    "uniformity": "uniformity",
    "loss": "loss",
}
"""What a log has, in words."""


@dataclass(frozen=True)
class Sides:
    """Two runs of one recipe on the same images, of which one started from something."""

    init: str
    """What the one started from."""
    with_init: str
    """The names of the two folders."""
    without: str
    rows: list[tuple[str, str, str]]
    """(what was measured, with, without)."""


_LENGTH = {"epochs", "steps", "schedule.warmup_epochs"}
"""Fields in which the two may differ: `auto` fits a length to the time; how many steps each made is in the table."""


def sides(run: RunDirectory) -> Sides | None:
    """This run beside its counterpart among the folders around it; None where there is none.

    The counterpart has the same images and the same recipe, but perhaps for its length, and differs in whether it
    started from something. Of several, one of the same length, or else the first by name.
    """
    started, here, found = run.read(BEGINNING), run.path.resolve(), []
    for folder in sorted(here.parent.iterdir()):
        other = RunDirectory(folder)
        if folder == here or not is_run(folder) or (different := _different(run, other)) is None:
            continue
        if different <= _LENGTH and bool(other.read(BEGINNING)) != bool(started):
            found.append((len(different), other))
    if not found:
        return None
    other = min(found, key=lambda pair: pair[0])[1]
    one, two = (run, other) if started else (other, run)
    return Sides(str(one.read(BEGINNING)["init"]), one.path.resolve().name, two.path.resolve().name, _rows(one, two))


def _different(run: RunDirectory, other: RunDirectory) -> set[str] | None:
    """The fields in which two recipes differ; None for runs on other images, and for damaged neighbours."""
    try:
        mine, theirs = run.read("data.json").get("fingerprint"), other.read("data.json").get("fingerprint")
        old, new = flatten(run.recipe()), flatten(other.recipe())
    except MocoError:
        return None
    if mine is None or mine != theirs:
        return None
    return {name for name in old.keys() | new.keys() if old.get(name, old) != new.get(name, new)}


def _rows(one: RunDirectory, two: RunDirectory) -> list[tuple[str, str, str]]:
    logs = [readable_rows(run.log)[0] for run in (one, two)]
    steps = [f"{log[-1]['step']:,}" if log else "0" for log in logs]
    rows = [("steps", steps[0], steps[1])]
    found = [(words, [_last(log, name) for log in logs], name) for name, words in _MEASURES.items()]
    for words, values, name in found:
        if all(value is not None for value in values):
            shown = [f"{100 * v:.1f}" if name == "knn" else number_words(v) for v in values if v is not None]
            rows.append((words, shown[0], shown[1]))
    mine, theirs = (read_results(run.evaluations)[0] for run in (one, two))
    for result in mine:
        if twin := next((r for r in theirs if (r.protocol, r.data) == (result.protocol, result.data)), None):
            cells = [_first(r) for r in (result, twin)]
            rows.append((f"{result.protocol} on {result.data}, {result.columns[0]}", cells[0], cells[1]))
    return rows


def _last(log: list[Row], name: str) -> float | None:
    return next((float(row[name]) for row in reversed(log) if row.get(name) is not None), None)


def _first(result: Result) -> str:
    """The score of the encoder itself, in the first column."""
    value = next(iter(result.rows.values()))[0].value
    return f"{100 * value:.1f}" if result.format(0) == "share" else number_words(value)
