"""The results of a study's cells: one JSON file each, brought together in a table, and compared with the paper."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from moco.run.atomic import write_text
from moco.run.log import Row
from moco.study.parts import FAILS, MEASURES, Cell, Measure, Study, of_paper


@dataclass(frozen=True)
class CellResult:
    """What came of one training: its scores, or why it failed."""

    scores: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Over epochs: (epoch, value)."""
    failed: str = ""
    recipe: str = ""
    """As JSON: which recipe these scores are of."""


@dataclass(frozen=True)
class Line:
    """One cell over its seeds: for each measure the mean and the standard deviation, in the units that are shown."""

    cell: Cell
    seeds: int
    values: dict[Measure, tuple[float, float]]
    failed: str = ""


def from_log(rows: Sequence[Row], recipe: str) -> CellResult:
    """The scores at the end of a run, and their curves, from its log."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for name in ("knn", "rank"):
        curves[name] = [(float(row["epoch"]), float(row[name])) for row in rows if row.get(name) is not None]
    won: dict[int, list[float]] = {}
    for row in rows:
        if row.get("accuracy") is not None:
            won.setdefault(row["epoch"], []).append(row["accuracy"])
    curves["accuracy"] = [(float(epoch), statistics.fmean(values)) for epoch, values in sorted(won.items())]
    scores = {name: points[-1][1] for name, points in curves.items() if points}
    rates = [row["images_per_second"] for row in rows if row.get("images_per_second")]
    if rates:
        scores["seconds"] = 1000 / statistics.median(rates[1:] or rates)  # the first step is slower
    return CellResult(scores, {k: v for k, v in curves.items() if v}, "", recipe)


def write_result(path: Path, result: CellResult) -> None:
    """Write it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(result), indent=1) + "\n")


def read_result(path: Path) -> CellResult | None:
    """The result, or None where the cell has none yet."""
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text())
    content["curves"] = {k: [(x, y) for x, y in points] for k, points in content["curves"].items()}
    return CellResult(**content)


def line(cell: Cell, results: Sequence[CellResult], measures: Sequence[Measure]) -> Line:
    """Mean and spread over the seeds; failed where any seed failed."""
    failed = next((r.failed for r in results if r.failed), "")
    values: dict[Measure, tuple[float, float]] = {}
    for name in measures:
        found = [r.scores[name] * MEASURES[name][1] for r in results if name in r.scores and not r.failed]
        if found:
            values[name] = statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else math.nan
    return Line(cell, len(results), values, failed)


def verdicts(study: Study, lines: Sequence[Line], measures: Sequence[Measure]) -> list[str]:
    """For each measure a sentence: does the direction agree with the paper? Counted over pairs of cells.

    A pair counts where the paper tells the two apart; with several seeds, ours must differ by more than the standard
    error of the difference to count either way. A failed training is worse than every other. Where cells come in
    groups, each group has a sentence of its own, so that a gap between groups does not hide what happens within one.
    """
    sentences = []
    for name in measures:
        title = MEASURES[name][0].split(",")[0]
        sentences.append(_verdict(study, lines, name, title))
        groups = dict.fromkeys(x.cell.group for x in lines)
        for group in groups if len(groups) > 1 else ():
            within = [x for x in lines if x.cell.group == group]
            if sum(_compared(x, name) for x in within) > 1:
                sentences.append(_verdict(study, within, name, f"{title}, {group} alone"))
    return sentences


def _compared(found: Line, name: Measure) -> bool:
    """Whether both we and the paper have a value."""
    return of_paper(name) in found.cell.paper and bool(found.failed or name in found.values)


def _verdict(study: Study, lines: Sequence[Line], name: Measure, title: str) -> str:
    same = other = close = 0
    for a, b in combinations([x for x in lines if _compared(x, name)], 2):
        theirs = _difference(a.cell.paper[of_paper(name)], b.cell.paper[of_paper(name)])
        if abs(theirs) < study.tells:
            continue
        ours = _difference(_value(a, name), _value(b, name))
        if ours == 0 or abs(ours) <= _error(a, b, name):
            close += 1
        elif (ours > 0) == (theirs > 0):
            same += 1
        else:
            other += 1
    pairs = same + other + close
    if not pairs:
        return f"{title}: too few cells are trained to compare with the paper."
    if same > 2 * other and 2 * same > pairs:
        judged = "the direction agrees with the paper"
    elif other > 2 * same and 2 * other > pairs:
        judged = "the direction disagrees with the paper"
    else:
        judged = "the direction is not clear"
    seeds = min(x.seeds for x in lines if x.seeds)
    doubt = "; one seed each, so differences may be chance" if seeds == 1 else f"; {seeds} seeds or more each"
    counted = "the one pair" if pairs == 1 else f"{pairs} pairs"
    return (
        f"{title}: {judged}. Of {counted} of cells that the paper tells apart, in the same order here: {same}; the "
        f"other way round: {other}; too close to call: {close}{doubt}."
    )


def _value(found: Line, name: Measure) -> float:
    return FAILS if found.failed else found.values[name][0]


def _difference(a: float, b: float) -> float:
    return 0.0 if a == b else a - b


def _error(a: Line, b: Line, name: Measure) -> float:
    if a.failed or b.failed:
        return 0.0
    spread = [x.values[name][1] ** 2 / x.seeds for x in (a, b)]
    return math.sqrt(sum(spread)) if all(math.isfinite(s) for s in spread) else 0.0


def starts(results: Sequence[CellResult], measures: Sequence[Measure]) -> list[str]:
    """What the measures were before training, in a sentence for each that was taken then."""
    sentences = []
    for name in measures:
        first = [r.curves[name][0] for r in results if r.curves.get(name)]
        values = [value * MEASURES[name][1] for epoch, value in first if epoch == 0]
        if values:
            low, high = f"{min(values):.2f}", f"{max(values):.2f}"
            title, _, unit = MEASURES[name][0].partition(", ")
            span = low if low == high else f"{low} to {high}"
            sentences.append(f"{title} before training: {span} {unit}".rstrip() + ".")
    return sentences


def table(study: Study, lines: Sequence[Line], measures: Sequence[Measure]) -> tuple[list[str], list[list[str]]]:
    """Head and rows as words: the cell, how many seeds, ours and the paper's for each measure."""
    head = ["cell", "seeds"]
    for name in measures:
        head += [MEASURES[name][0], "the paper's"]
    fitted = any(x.cell.paper_x for x in lines)
    if fitted:
        head.append(f"at the paper's {study.axis.split(',')[0]}")
    rows = []
    for found in lines:
        row = [found.cell.label, str(found.seeds)]
        for name in measures:
            mean, spread = found.values.get(name, (math.nan, math.nan))
            ours = "" if math.isnan(mean) else f"{mean:.2f}" + ("" if math.isnan(spread) else f" ± {spread:.2f}")
            theirs = found.cell.paper.get(of_paper(name))
            shown = f"failed: {found.failed}" if found.failed else ours
            row += [shown, "" if theirs is None else "fails" if theirs == FAILS else f"{theirs:.4g}"]
        rows.append([*row, found.cell.paper_x] if fitted else row)
    return head, rows


def as_csv(head: list[str], rows: list[list[str]]) -> str:
    """The table for a spreadsheet."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return file.getvalue()


def as_markdown(study: Study, head: list[str], rows: list[list[str]], sentences: Sequence[str]) -> str:
    """The table with what it is about, as a page."""
    cells = [[c.replace("\n", " ").replace("|", "\\|") for c in row] for row in [head, ["---"] * len(head), *rows]]
    lines = "\n".join("| " + " | ".join(row) + " |" for row in cells)
    about = "\n\n".join([*sentences, *([f"Scaled: {study.scaled}."] if study.scaled else [])])
    return f"# {study.title}\n\nThe paper's: {study.source}.\n\n{lines}\n\n{about}\n\n![](picture.png)\n"
