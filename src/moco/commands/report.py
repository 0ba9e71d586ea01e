from __future__ import annotations

from pathlib import Path


def report(run: Path) -> Path:
    return run
