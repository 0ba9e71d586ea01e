"""The same run with and without `--init`: what each reached, side by side, where both are in one folder."""

from __future__ import annotations

from dataclasses import dataclass

from moco.errors import MocoError
from moco.protocols.result import Result, number_words, read_results
from moco.recipe import flatten
from moco.run.directory import RunDirectory, is_run
from moco.run.log import Row, read_log

_MEASURES = {
    "knn": "kNN, % (of --watch)",
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


def sides(run: RunDirectory) -> Sides | None:
    """This run beside its counterpart among the folders around it; None where there is none.

    The counterpart has the same recipe and images, and differs in whether it started from something.
    """
    record, started = run.read("data.json"), run.read("init.json")
    for folder in sorted(run.path.resolve().parent.iterdir()):
        other = RunDirectory(folder)
        if folder == run.path.resolve() or not is_run(folder) or not _alike(run, other, record):
            continue
        if bool(other.read("init.json")) != bool(started):
            one, two = (run, other) if started else (other, run)
            names = (one.path.resolve().name, two.path.resolve().name)
            return Sides(str(one.read("init.json")["init"]), *names, _rows(one, two))
    return None


def _alike(run: RunDirectory, other: RunDirectory, record: Row) -> bool:
    try:
        theirs = other.read("data.json")
        same = bool(record) and record.get("fingerprint") == theirs.get("fingerprint")
        return same and flatten(run.recipe()) == flatten(other.recipe())
    except MocoError:  # a damaged neighbour is no counterpart
        return False


def _rows(one: RunDirectory, two: RunDirectory) -> list[tuple[str, str, str]]:
    logs = [read_log(run.log) for run in (one, two)]
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
