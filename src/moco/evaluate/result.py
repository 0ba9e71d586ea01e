"""An evaluation's result as a file: settings, scores, time, versions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from moco.run.directory import RunDirectory
from moco.version import VERSION


@dataclass(frozen=True)
class Result:
    """One table: a row for each encoder, a column for each setting; scores are shares, with an optional spread."""

    protocol: str
    data: str
    title: str
    columns: list[str]
    rows: dict[str, list[tuple[float, float | None]]]
    settings: dict[str, Any]
    seconds: float

    def save(self, run: RunDirectory) -> None:
        """Write evaluations/<protocol>-<data>.json, replacing an earlier one of the same name."""
        run.evaluations.mkdir(exist_ok=True)
        name = "".join(c if c.isalnum() else "-" for c in self.data).strip("-")[-60:]
        run.write(
            f"evaluations/{self.protocol}-{name}.json",
            {
                "protocol": self.protocol,
                "data": self.data,
                "title": self.title,
                "columns": self.columns,
                "rows": self.rows,
                "settings": self.settings,
                "seconds": round(self.seconds, 1),
                "moco": VERSION,
                "when": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            },
        )


def read_results(run: RunDirectory) -> list[Result]:
    """All evaluations of a run, in the order of their names."""
    if not run.evaluations.is_dir():
        return []
    found = []
    for path in sorted(run.evaluations.glob("*.json")):
        content = run.read(f"evaluations/{path.name}")
        rows = {name: [(mean, spread) for mean, spread in cells] for name, cells in content["rows"].items()}
        kept = {k: content[k] for k in ("protocol", "data", "title", "columns", "settings", "seconds")}
        found.append(Result(rows=rows, **kept))
    return found
