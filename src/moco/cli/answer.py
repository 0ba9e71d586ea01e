"""What a command has found, for programs: `--json` prints it, and nothing else, on standard output."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON = "--json"
"""The flag. What a person reads goes to standard error where it is given."""


@dataclass(frozen=True)
class Answer:
    """What a command has found, and with which code it ends."""

    value: Any
    """Dataclasses, mappings, sequences, paths and numbers, as deep as need be; or a function that gives them."""
    code: int = 0


def to_json(value: Any) -> str:
    """JSON of an answer: numbers that are not finite become null, as JSON has none."""
    return json.dumps(plain(value() if callable(value) else value), indent=2, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """The same, of what JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Sequence | Set) and not isinstance(value, str | bytes):
        return [plain(one) for one in value]
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return plain(value.item()) if hasattr(value, "item") else str(value)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """A table of words, an object a row."""
    return [dict(zip(head, row, strict=True)) for row in rows]


def from_csv(folder: Path, name: str) -> dict[str, Any]:
    """The rows of folder/name.csv, with where it and the picture beside it are."""
    file, picture = folder / f"{name}.csv", folder / f"{name}.png"
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [{key: _number(key, text) for key, text in row.items()} for row in csv.DictReader(lines)]
    return {"csv": file, "picture": picture if picture.exists() else None, "rows": rows}


_WHOLE, _REAL = {"rank", "group", "size"}, {"cosine", "distance"}


def _number(key: str, text: str) -> Any:
    return int(text) if key in _WHOLE else float(text) if key in _REAL else text
