"""What a person sees in a notebook: one output below the cell, which is drawn anew as the command goes."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from moco.protocols.result import Cell, Format, Result, number_words
from moco.recipe.auto import Choice
from moco.run.words import left_words, score_words, step_words

_EVERY = 0.5
"""Seconds between two drawings of a step."""

_MOST_LINES = 200
"""Lines that are kept; earlier ones go."""

_COLOURS = {"normal": "#2e9e5b", "look": "#b9851a", "bad": "#d0433a"}


def in_notebook() -> bool:
    """Whether this runs in a kernel of Jupyter, Colab or the like; imports nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class Notebook:
    """Tells how a command goes below its cell: lines, and while there are steps, a bar with numbers."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        """HTML."""
        self._plain: list[str] = []
        self._now = self._now_plain = ""
        self._handle: Any = None
        self._drawn = 0.0

    def note(self, text: str) -> None:
        """A line."""
        self._add(f"<div>{html.escape(text)}</div>", text)

    def choices(self, choices: Sequence[Choice]) -> None:
        """What `auto` decided, as a table."""
        rows = [[f"{c.flag} {c.value}", c.reason] for c in choices]
        plain = "\n".join(f"  {flag}: {reason}" for flag, reason in rows)
        self._add(_table("recipe auto: MoCo v2, fitted to these images", [], rows), plain)

    def reading(self, what: str, total: int) -> Callable[[int], object]:
        """A bar that counts."""

        def tell(done: int) -> None:
            self._now = _bar(done, total, f"{what} {done:,} / {total:,}") if done < total else ""
            self._now_plain = f"{what} {done:,} / {total:,}" if done < total else ""
            self._draw(done >= total)

        return tell

    def row(self, row: dict[str, Any], step: int, steps: int, seconds_left: float | None) -> None:
        """A row of the log."""
        if "loss" not in row:
            self.note(score_words(row))
            return
        said = f"step {step:,} / {steps:,}  {left_words(seconds_left)}"
        health = str(row.get("health", ""))
        colour = _COLOURS.get(str(row.get("level")), "inherit")
        words = f"<div>{html.escape(step_words(row))}</div>"
        self._now = f'{_bar(step, steps, said)}{words}<div style="color: {colour}">{html.escape(health)}</div>'
        self._now_plain = "\n".join(filter(None, [said, step_words(row), health]))
        self._draw(step in (1, steps))

    def results(self, result: Result) -> None:
        """A finished evaluation, as a table."""
        rows = [
            [name, *(_cell(cell, result.format(i)) for i, cell in enumerate(cells))]
            for name, cells in result.rows.items()
        ]
        table = _table(result.title, ["features of", *result.columns], rows)
        notes = "".join(f"<div>{html.escape(words)}</div>" for words in (result.interval, result.note) if words)
        self._add(table + notes, "\n".join([result.title, *("  ".join(row) for row in rows)]))

    def _add(self, line: str, plain: str) -> None:
        self._lines = [*self._lines, line][-_MOST_LINES:]
        self._plain = [*self._plain, plain][-_MOST_LINES:]
        self._draw(True)

    def _draw(self, at_once: bool) -> None:
        if not at_once and time.monotonic() - self._drawn < _EVERY:
            return
        self._drawn = time.monotonic()
        shown = {
            "text/html": f'<div style="line-height: 1.5">{"".join(self._lines)}{self._now}</div>',
            "text/plain": "\n".join([*self._plain, *filter(None, [self._now_plain])]),
        }
        if self._handle is None:
            from IPython.display import display

            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


def _bar(done: int, total: int, words: str) -> str:
    bar = f'<progress value="{done}" max="{max(1, total)}" style="width: 40%; max-width: 320px"></progress>'
    return f"<div>{bar} {html.escape(words)}</div>"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(c)}</td>' for c in row)}</tr>" for row in rows)
    top = f"<tr>{cells}</tr>" if head else ""
    return f"<div>{html.escape(title)}</div><table>{top}{body}</table>"


def _cell(cell: Cell, kind: Format) -> str:
    """A score with its spread."""
    value = f"{cell.value:.1%}" if kind == "share" else number_words(cell.value)
    if cell.spread is None:
        return value
    return f"{value} ± {100 * cell.spread:.1f}" if kind == "share" else f"{value} ± {cell.spread:.2g}"
