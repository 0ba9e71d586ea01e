"""log.jsonl: one JSON object a line. Training rows have `step`, `epoch` and `loss`; others have `epoch` and scores."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from moco.errors import MocoError
from moco.run.atomic import trouble_is_told, write_text

Row = dict[str, Any]

_RECENT = 500


def readable_rows(path: Path) -> tuple[list[Row], int]:
    """The rows of a log for whoever only looks, and how many damaged lines are left out beside a last one cut short."""
    rows = [row_of(line) for line in _lines(path)]
    return [row for row in rows if row is not None], sum(row is None for row in rows[:-1])


def read_log(path: Path) -> list[Row]:
    """The rows of a log; a last line that a crash cut short is left out. Raises MocoError where another is damaged."""
    lines = _lines(path)
    rows = [row_of(line) for line in lines]
    for number, (line, row) in enumerate(zip(lines[:-1], rows, strict=False), 1):
        if row is None:
            raise MocoError(
                f"{path}, line {number}, is damaged ({line!r:.60}); delete that line and run the same command again "
                "(the training itself is in checkpoints/)"
            )
    return [row for row in rows if row is not None]


def _lines(path: Path) -> list[str]:
    """Of a log; none where there is none. Raises MocoError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise MocoError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def row_of(line: str | bytes) -> Row | None:
    """A row of a log; None where the line is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = row.get("step") if isinstance(row, dict) else None
    return row if type(step) is int and 0 <= step < 1 << 53 else None


def number_in(row: Row, name: str) -> float | None:
    """A finite number of a row; None where it has none of this name, or something else."""
    value = row.get(name)
    if not isinstance(value, int | float) or abs(value) > 1e300 or math.isnan(value):
        return None
    return float(value)


class Log:
    """The log of a run, in JSON lines and as TensorBoard events."""

    def __init__(self, folder: Path, step: int) -> None:
        """Go on from `step`: rows of later steps, which a crash undid, are dropped."""
        self.path = folder / "log.jsonl"
        self.rows = [row for row in read_log(self.path) if row["step"] <= step]
        if self.path.exists():
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))
        from torch.utils.tensorboard import SummaryWriter  # takes a second: only where a run is written

        board = folder / "tensorboard"
        with trouble_is_told(folder):  # events of a run that was killed before its first checkpoint go too
            self._board = SummaryWriter(str(board), purge_step=step + 1 if board.exists() else None)

    def recent(self) -> list[Row]:
        """The first rows, the latest rows, and between them those that a watch wrote: enough to judge a run by."""
        rows = self.rows
        if len(rows) <= 2 * _RECENT:
            return rows
        between = [row for row in rows[_RECENT:-_RECENT] if "knn" in row]
        return [*rows[:_RECENT], *between, *rows[-_RECENT:]]

    def add(self, row: Row) -> None:
        """Append a row; a number that is not finite becomes null."""
        row = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        self.rows.append(row)
        with trouble_is_told(self.path):
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            for name, value in row.items():
                if isinstance(value, int | float) and name not in ("step", "epoch"):
                    self._board.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Write what TensorBoard still holds."""
        self._board.close()
