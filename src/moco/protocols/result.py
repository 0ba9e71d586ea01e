"""An evaluation's result as a file: settings, scores, intervals, time, versions."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from moco.protocols.interval import Interval
from moco.run.atomic import trouble_is_told, write_text
from moco.version import VERSION

Format = Literal["share", "number"]


class Cell(NamedTuple):
    """A score, its standard deviation over draws where there are several, and its 95 % interval where it has one."""

    value: float
    spread: float | None = None
    interval: Interval | None = None


def number_words(value: float) -> str:
    """A number that is no share, as tables show it: three digits, or all of a large one."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One table: a row for each contender, a column for each setting."""

    protocol: str
    data: str
    title: str
    columns: list[str]
    rows: dict[str, list[Cell]]
    settings: dict[str, Any]
    formats: list[Format] = field(default_factory=list)
    """Of each column: a share, shown in percent, or a number; shares where nothing is said."""
    interval: str = ""
    """What kind of interval the cells have."""
    note: str = ""
    """What must be known wherever a number of this table appears."""
    encoder: str = ""
    """What was asked to be judged, the first row."""
    contenders: dict[str, str] = field(default_factory=dict)
    """What each row is, in a few words."""
    device: str = ""
    seconds: float = 0.0
    when: str = ""

    def format(self, column: int) -> Format:
        """Of a column."""
        return self.formats[column] if self.formats else "share"

    def save(self, folder: Path, name: str) -> Path:
        """Write `<protocol>-<name>.json`, replacing an earlier one; its path."""
        path = folder / f"{self.protocol}-{name}.json"
        with trouble_is_told(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(self.content(), indent=2) + "\n")
        return path

    def content(self) -> dict[str, Any]:
        """What the file holds: everything about this evaluation."""
        import torch  # these two take seconds: only where a result is written
        import torchvision

        return {
            "protocol": self.protocol,
            "encoder": self.encoder,
            "data": self.data,
            "title": self.title,
            "note": self.note,
            "columns": self.columns,
            "formats": [self.format(i) for i in range(len(self.columns))],
            "rows": {name: [(cell.value, cell.spread) for cell in cells] for name, cells in self.rows.items()},
            "intervals": {name: [cell.interval for cell in cells] for name, cells in self.rows.items()},
            "interval": self.interval,
            "contenders": self.contenders,
            "settings": self.settings,
            "seconds": round(self.seconds, 1),
            "device": self.device,
            "moco": VERSION,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "torchvision": torchvision.__version__,
                "numpy": np.__version__,
            },
            "when": self.when or time.strftime("%Y-%m-%d %H:%M:%S %z"),
        }


def read_results(folder: Path) -> tuple[list[Result], list[str]]:
    """All evaluations in a folder, in the order of their names, and a sentence on each file that is damaged."""
    results: list[Result] = []
    damaged: list[str] = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            results.append(_read(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            damaged.append(f"{path} is damaged ({error}); delete it, and judge again for a new one")
    return results, damaged


def _read(path: Path) -> Result:
    """One of this version or an older one, which lacks some fields."""
    content = json.loads(path.read_text(encoding="utf-8"))
    intervals = content.get("intervals", {})
    rows = {
        name: [
            Cell(value, spread, _pair(interval))
            for (value, spread), interval in zip(cells, intervals.get(name, [None] * len(cells)), strict=True)
        ]
        for name, cells in content["rows"].items()
    }
    needed = {k: content[k] for k in ("protocol", "data", "title", "columns", "settings", "seconds")}
    since = ("formats", "interval", "note", "encoder", "contenders", "device", "when")
    return Result(rows=rows, **needed, **{k: content[k] for k in since if k in content})


def _pair(interval: list[float] | None) -> Interval | None:
    return None if interval is None else (interval[0], interval[1])


def slug(text: str) -> str:
    """A name as part of a file's name: its end, at most 60 bytes of any alphabet."""
    plain = "".join(c if c.isalnum() else "-" for c in text).strip("-")
    return plain.encode()[-60:].decode(errors="ignore")
