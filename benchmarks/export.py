"""Every export of an encoder, its check included: processor seconds, size, how far the features that come back differ.

python benchmarks/export.py [--encoder torchvision:resnet50] [--data IMAGES] [--json | --table]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from moco.commands.export import Export, export_all
from moco.commands.tell import Silent
from moco.handover.table import FORMATS


class Clock(Silent):
    """Hears when a format is done; its time is what processors spent since the one before, whoever else used them."""

    def __init__(self) -> None:
        self.last = time.process_time()
        self.seconds: list[float] = []

    def note(self, text: str) -> None:
        """Where a format is done, or left out in no time, its seconds are kept."""
        if "opened again by" in text or text.startswith(tuple(f"{name}: " for name in FORMATS)):
            now = time.process_time()
            self.seconds.append(now - self.last)
            self.last = now


def main() -> None:
    """Export, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="torchvision:resnet50")
    parser.add_argument("--data")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--table", action="store_true", help="print a table for a document")
    a = parser.parse_args()
    clock, start = Clock(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        done, left = export_all(a.encoder, Path(folder) / "all", data=a.data, tell=clock)
        seconds = dict(zip(FORMATS, clock.seconds, strict=True))
        rows = {one.format: measured(one, seconds[one.format]) for one in done}
    result = {
        "benchmark": "export",
        "encoder": a.encoder,
        "seconds": round(time.perf_counter() - start, 1),
        "processor_seconds": round(time.process_time(), 1),
        "formats": rows,
        "left": left,
    }
    if a.json:
        print(json.dumps(result))
    elif a.table:
        print(table(rows, left))
    else:
        print(json.dumps(result, indent=2))


def measured(one: Export, seconds: float) -> dict[str, Any]:
    """What there is to say about an export."""
    size = sum(p.stat().st_size for p in one.folder.rglob("*") if p.is_file())
    return {
        "opened_by": one.opened_by,
        "difference": float(f"{one.difference:.2g}"),
        "gray_levels": None if one.pixels is None else round(255 * one.pixels, 2),
        "megabytes": round(size / 1e6, 1),
        "processor_seconds": round(seconds, 1),
    }


def table(rows: dict[str, dict[str, Any]], left: dict[str, str]) -> str:
    """The rows in Markdown."""
    lines = ["| format | opened again by | features differ by | MB | processor s |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        shown = "0" if row["difference"] == 0 else f"{row['difference']:.1e}"
        lines.append(f"| `{name}` | {row['opened_by']} | {shown} | {row['megabytes']} | {row['processor_seconds']} |")
    return "\n".join([*lines, *(f"| `{name}` | – | {why} | | |" for name, why in left.items())])


if __name__ == "__main__":
    main()
