"""The log of a run that goes on, as somebody who watches reads it: only what is new, and a damaged line is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moco.run.log import Row, number_in, row_of

WHOLE = 1 << 16
"""Bytes up to which a log is read whole at first; of a longer one samples, and its end."""

_BLOCKS, _BLOCK, _END = 24, 1 << 11, 1 << 14
POINTS = 240
"""Points that are kept of a curve."""


@dataclass
class Tail:
    """What is known of a log; `read` looks for more."""

    path: Path
    last: Row = field(default_factory=dict)
    """The latest value of everything that was written."""
    step: int = 0
    rows: int = 0
    """Rows that were read."""
    damaged: int = 0
    """Lines that are no row."""
    losses: list[tuple[int, float]] = field(default_factory=list)
    """(step, loss), at most 2 POINTS, evenly thinned."""
    lines: list[str] = field(default_factory=list)
    """The last lines, as they were written."""
    _offset: int = 0
    _rest: bytes = b""
    _mark: tuple[int, int] = (-1, -1)
    _every: int = 1

    def read(self) -> bool:
        """Take in what was written since the last time; whether there was anything. Raises no error without a file."""
        try:
            stat = self.path.stat()
            mark = (stat.st_size, stat.st_mtime_ns)
            if mark == self._mark:
                return False
            if stat.st_size < self._offset:  # a run that went on from a checkpoint dropped the rows after it
                self.__init__(self.path)  # type: ignore[misc]
            with self.path.open("rb") as file:
                if self._offset == 0 and stat.st_size > WHOLE:
                    self._sample(file, stat.st_size)
                file.seek(self._offset)
                self._take(file.read(stat.st_size - self._offset))
            self._mark = mark
        except OSError:
            return False
        return True

    def _sample(self, file: Any, size: int) -> None:
        """Blocks from all over a long log, up to its end, which is read as ever."""
        end = size - _END
        for number in range(_BLOCKS):
            file.seek(number * end // _BLOCKS)
            block = file.read(_BLOCK)
            whole = block.partition(b"\n")[2] if number else block
            for line in whole.split(b"\n")[:-1]:
                self._add(line)
        file.seek(end)
        self._offset = end + len(file.readline())

    def _take(self, more: bytes) -> None:
        self._offset += len(more)
        *whole, self._rest = (self._rest + more).split(b"\n")
        for line in whole:
            self._add(line)

    def _add(self, line: bytes) -> None:
        row = row_of(line)
        if row is None:
            self.damaged += bool(line.strip())
            return
        self.rows += 1
        self.step = row["step"]
        self.last |= {name: value for name, value in row.items() if value is not None}
        self.lines = [*self.lines[-11:], line.decode("utf-8", "replace")]
        if (loss := number_in(row, "loss")) is not None:
            if self.rows % self._every == 0 or not self.losses:
                self.losses.append((row["step"], loss))
            if len(self.losses) > 2 * POINTS:
                self.losses, self._every = self.losses[::2], 2 * self._every
