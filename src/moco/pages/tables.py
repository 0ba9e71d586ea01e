"""The tables of evaluations, as text."""

from __future__ import annotations

from dataclasses import dataclass

from moco.pages.words import duration
from moco.protocols.result import Cell, Format, Result, number_words


@dataclass(frozen=True)
class Score:
    """A score, its spread and its interval; `best` of its column."""

    value: str
    spread: str
    interval: str
    best: bool


@dataclass(frozen=True)
class Row:
    """A contender, what it is, and its scores."""

    name: str
    about: str
    scores: list[Score]


@dataclass(frozen=True)
class Table:
    """An evaluation."""

    protocol: str
    title: str
    data: str
    note: str
    interval: str
    columns: list[str]
    rows: list[Row]
    foot: str
    """When it was made, on what, and how long it took."""


def table_of(result: Result) -> Table:
    """Shares in percent; the best of each column of shares is marked where there are several rows."""
    best = [
        max(cells[i].value for cells in result.rows.values())
        if len(result.rows) > 1 and result.format(i) == "share"
        else None
        for i in range(len(result.columns))
    ]
    rows = [
        Row(
            name,
            result.contenders.get(name, ""),
            [_score(cell, result.format(i), cell.value == best[i]) for i, cell in enumerate(cells)],
        )
        for name, cells in result.rows.items()
    ]
    foot = ", ".join(words for words in (result.when, result.device, duration(result.seconds)) if words)
    return Table(result.protocol, result.title, result.data, result.note, result.interval, result.columns, rows, foot)


def _score(cell: Cell, kind: Format, best: bool) -> Score:
    def shown(value: float) -> str:
        return f"{100 * value:.1f}" if kind == "share" else number_words(value)

    interval = "" if cell.interval is None else f"{shown(cell.interval[0])} to {shown(cell.interval[1])}"
    return Score(shown(cell.value), "" if cell.spread is None else shown(cell.spread), interval, best)
