"""What a person sees in a terminal: a live line where there is one to draw on, a plain line now and then elsewhere."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, Any, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from moco.protocols.result import Cell, Format, Result, number_words
from moco.recipe.auto import Choice
from moco.run.words import left_words, score_words, step_words

_COLOURS = {"normal": "green", "look": "yellow", "bad": "red"}


_SCORES_EVERY = 10.0
"""Seconds between two lines of scores."""


class Outlet:
    """Standard output for as long as somebody reads it. When it closes (`| head`), that is said once on stderr.

    A run of days does not end because its terminal has gone or the disk of its output is full.
    """

    def __init__(self, stream: TextIO, meanwhile: str) -> None:
        self._stream = stream
        self._meanwhile = meanwhile
        self._open = True

    def write(self, text: str) -> int:
        """Write, or do nothing once the output is closed."""
        if self._open:
            try:
                self._stream.write(text)
            except OSError as error:
                self._close(error)
        return len(text)

    def flush(self) -> None:
        """Hand on what is written."""
        if self._open:
            try:
                self._stream.flush()
            except OSError as error:
                self._close(error)

    def _close(self, error: OSError) -> None:
        self._open = False
        with contextlib.suppress(OSError):
            print(f"moco: nothing is shown any more ({error.strerror}); {self._meanwhile}", file=sys.stderr)  # noqa: T201
        with contextlib.suppress(OSError, ValueError):  # what is still buffered goes nowhere, at exit too
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Terminal:
    """Tells a person how a command goes; where `outlives` says what goes on meanwhile, even when nobody reads it."""

    def __init__(self, console: Console | None = None, outlives: str | None = None) -> None:
        file = None if outlives is None else cast("IO[str]", Outlet(sys.stdout, outlives))
        self.console = console or Console(file=file, highlight=False)
        self._scored = -math.inf
        self._live: Live | None = None
        self._progress: Progress | None = None
        self._health = ""
        self._printed = 0.0
        self._counting = False

    def note(self, text: str) -> None:
        """One line."""
        if self._counting:  # what is said next is a line of its own
            self._counting = False
            self.console.print()
        self.console.print(Text(text), soft_wrap=not self.console.is_terminal)

    def choices(self, choices: Sequence[Choice]) -> None:
        """What `auto` decided, a line each."""
        self.note("recipe auto: MoCo v2, fitted to these images")
        wide = max(len(f"{c.flag} {c.value}") for c in choices)
        if self.console.is_terminal and self.console.width > wide + 30:
            told = Table.grid(padding=(0, 2, 0, 0))
            told.add_column(width=wide + 2)
            for c in choices:
                told.add_row(Text(f"  {c.flag} {c.value}"), Text(c.reason))
            self.console.print(told)
            return
        for c in choices:
            shown = f"{c.flag} {c.value}"
            self.note(f"  {shown:<{wide}}  {c.reason}")

    def reading(self, what: str, total: int) -> Callable[[int], object]:
        """A line that counts, where there is a terminal."""
        if not self.console.is_terminal:
            return lambda done: None
        last = [0.0]

        def tell(done: int) -> None:
            if done == total or time.monotonic() - last[0] > 0.2:
                last[0], self._counting = time.monotonic(), done < total
                self.console.print(f"{what} {done:,} / {total:,}", end="\n" if done == total else "\r", markup=False)

        return tell

    def row(self, row: dict[str, Any], step: int, steps: int, seconds_left: float | None) -> None:
        """A row of the log."""
        if "loss" not in row:
            if row["step"] in (0, steps) or "knn" in row or time.monotonic() - self._scored > _SCORES_EVERY:
                self._measured(row)
            return
        if self.console.is_terminal:
            self._draw(row, step, steps, seconds_left)
        elif step == steps or step == 1 or time.monotonic() - self._printed > 10:
            self._printed = time.monotonic()
            self.note(f"step {step:,}/{steps:,}, epoch {row['epoch']}: {step_words(row)}, {left_words(seconds_left)}")
        if row.get("health", "") != self._health:
            changed = row["health"].split(";")[0].split("(")[0] != self._health.split(";")[0].split("(")[0]
            self._health = row["health"]
            if changed and not self.console.is_terminal:
                self.note(row["health"])

    def _measured(self, row: dict[str, Any]) -> None:
        if "knn" not in row:
            self._scored = time.monotonic()
        self.note(score_words(row))

    def _draw(self, row: dict[str, Any], step: int, steps: int, seconds_left: float | None) -> None:
        if self._live is None:
            self._progress = Progress(
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=self.console,
            )
            self._progress.add_task("train", total=steps, left="")
            self._live = Live(console=self.console, refresh_per_second=4)
            self._live.start()
        assert self._progress is not None
        self._progress.update(self._progress.task_ids[0], completed=step, left=left_words(seconds_left))
        grid = Table.grid()
        grid.add_row(self._progress.get_renderable())
        grid.add_row(Text(step_words(row)))
        if "health" in row:
            grid.add_row(Text(row["health"], style=_COLOURS[row["level"]]))
        self._live.update(grid)
        if step == steps:
            self.close()

    def results(self, result: Result) -> None:
        """A table; below each score its interval, below the table what else must be known."""
        table = Table(title=Text(result.title), title_justify="left")
        table.add_column("features of", overflow="fold")
        for column in result.columns:
            table.add_column(Text(column), justify="right")
        for name, cells in result.rows.items():
            table.add_row(Text(name), *(_cell(cell, result.format(i)) for i, cell in enumerate(cells)))
        self.console.print(table)
        if any(cell.interval for cells in result.rows.values() for cell in cells):
            self.note(f"second line: {result.interval}")
        if result.note:
            self.note(result.note)

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of words; columns of numbers to the right."""
        table = Table(title=title or None, title_justify="left", title_style="")
        for number, name in enumerate(head):
            counts = number > 0 and all(row[number][:1] in {"", *"0123456789+-.±"} for row in rows)
            wide = None if number else min(self.console.width // 3, max((len(row[0]) for row in rows), default=0))
            table.add_column(Text(name), justify="right" if counts else "left", overflow="fold", min_width=wide)
        for row in rows:
            table.add_row(*map(Text, row))
        self.console.print(table)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _cell(cell: Cell, kind: Format) -> Text:
    def shown(value: float) -> str:
        return f"{value:.1%}" if kind == "share" else number_words(value)

    text = Text(shown(cell.value))
    if cell.spread is not None:
        text.append(f" ± {100 * cell.spread:.1f}" if kind == "share" else f" ± {cell.spread:.2g}")
    if cell.interval is not None:
        low, high = (shown(v).removesuffix("%") for v in cell.interval)
        text.append(f"\n{low} to {high}", style="dim")
    return text
