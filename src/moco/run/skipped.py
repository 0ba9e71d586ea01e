"""skipped.txt: files that could not be read and why, and how many of them a run bears."""

from __future__ import annotations

from collections.abc import Callable

from moco import distributed
from moco.data.memory import Skipped
from moco.data.names import one_line
from moco.errors import MocoError
from moco.run.atomic import write_text
from moco.run.directory import RunDirectory


class SkipBudget:
    """Unreadable files: listed with their reason, and no more of them than the machine allows."""

    def __init__(self, run: RunDirectory, names: Callable[[int], str], images: int, most: float) -> None:
        self._path = run.skipped
        self._names = names
        self._images = images
        self._most = most
        self._found: Skipped = {}
        self._lines: list[str] = distributed.on_main(self._read)

    def add(self, skipped: Skipped) -> None:
        """Note unreadable files; raises MocoError where they exceed the budget."""
        new = {i: reason for i, reason in skipped.items() if i not in self._found}
        self._found |= new
        lines = sorted({*self._lines, *(f"{one_line(self._names(i))}\t{reason}\n" for i, reason in new.items())})
        if lines != self._lines:
            self._lines = lines
            distributed.on_main(lambda: write_text(self._path, "".join(lines)))
        if len(self) > self._most * self._images:
            raise MocoError(
                f"{len(self)} of {self._images} images cannot be read ({self._lines[0].strip().replace(chr(9), ': ')}; "
                f"all are listed in {self._path}). That is more than {self._most:.1%}; "
                "remove or repair them, or allow more with --machine.max-skipped"
            )

    def _read(self) -> list[str]:
        return self._path.read_text().splitlines(keepends=True) if self._path.exists() else []

    def __len__(self) -> int:
        return len(self._lines)
