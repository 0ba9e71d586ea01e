"""What every logger does, and what it may know of a run."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from moco.errors import MocoError
from moco.run.atomic import trouble_is_told, write_text
from moco.run.log import Row

Ending = Literal["finished", "stopped", "failed"]
"""How a run ended, or this sitting of it."""

PROJECT = "moco"
"""The project, or experiment, of a record where the logger's own settings name none."""


@dataclass(frozen=True)
class About:
    """The run that a record is about."""

    folder: Path
    settings: dict[str, Any]
    """The recipe by dotted names, and what else was settled before the first step; a list is words."""

    @property
    def name(self) -> str:
        """What people call it: the run's folder."""
        return self.folder.resolve().name

    def kept(self, logger: str) -> dict[str, str]:
        """What a logger wrote down here when it began the record; empty where there is none, or it is damaged."""
        try:
            content = json.loads(self._file(logger).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        good = isinstance(content, dict) and all(isinstance(value, str) for value in content.values())
        return content if good and "id" in content else {}

    def keep(self, logger: str, record: dict[str, str]) -> None:
        """Write down where the record is, for a run that goes on to go on with it. Raises MocoError on a full disk."""
        path = self._file(logger)
        with trouble_is_told(path):
            path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps(record, indent=2) + "\n")

    def _file(self, logger: str) -> Path:
        return self.folder / "loggers" / f"{logger}.json"


class Logger(Protocol):
    """A record of a run that is open. Any error that a method raises ends the record, and never the run."""

    @property
    def where(self) -> str:
        """Where the record is and how to see it, in a clause."""
        ...

    def row(self, row: Row) -> None:
        """A row of the log."""
        ...

    def picture(self, name: str, path: Path, step: int) -> None:
        """A PNG; the file is gone afterwards."""
        ...

    def page(self, path: Path) -> None:
        """The report of the run, an HTML file."""
        ...

    def close(self, ending: Ending) -> None:
        """Write what is still held."""
        ...


def numbers(row: Row) -> dict[str, float]:
    """The finite numbers of a row, but for the step, which loggers take apart."""
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name != "step" and math.isfinite(value)
    }


def missing(extra: str) -> MocoError:
    """The sentence for a logger that is not installed."""
    return MocoError(f'--log {extra}: {extra} is not installed; pip install "momentum-contrast[{extra}]"')
