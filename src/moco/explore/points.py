"""The points of a map and what colours them, as one block of numbers that a page reads at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from moco.explore.database import TABLE, Database

COLOURS = 20
"""Values of a column that have a colour of their own, the most common; the last colour is for all others."""


@dataclass(frozen=True)
class Points:
    """The block, and where in it is what."""

    block: bytes
    columns: list[dict[str, Any]]
    """{name, kind, at, ...}: values and counts of kind "category" (uint8), low and high of kind "number" (float32)."""


def points(database: Database, categories: list[str], numbers: list[str]) -> Points:
    """x and y (float32, N each), then for each number float32, then for each category uint8, in the order of rows."""
    chosen = ", ".join(f'"{name}"' for name in ("__x", "__y", *numbers, *categories))
    found = database.columns(f"SELECT {chosen} FROM {TABLE} ORDER BY __row")
    parts = [_numbers(found["__x"]), _numbers(found["__y"])]
    columns: list[dict[str, Any]] = []
    at = sum(part.nbytes for part in parts)
    for name in numbers:
        part = _numbers(found[name])
        finite = part[np.isfinite(part)]
        low, high = (float(v) for v in np.percentile(finite, [1, 99])) if len(finite) else (0.0, 0.0)
        columns.append({"name": name, "kind": "number", "at": at, "low": low, "high": high})
        parts.append(part)
        at += part.nbytes
    for name in categories:
        codes, values, counts = _codes(found[name].tolist())
        columns.append({"name": name, "kind": "category", "at": at, "values": values, "counts": counts})
        parts.append(codes)
        at += codes.nbytes
    return Points(b"".join(part.tobytes() for part in parts), columns)


def _numbers(column: Any) -> Any:
    return np.asarray(np.ma.filled(column, np.nan), dtype="<f4")


def _codes(words: list[str | None]) -> tuple[Any, list[str], list[int]]:
    """A number for each word, from 0 on, the most common first; names and counts of the numbers."""
    names, inverse, counts = np.unique(["" if w is None else w for w in words], return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    kept = order if len(order) <= COLOURS else order[: COLOURS - 1]
    values = [str(names[i]) or "none" for i in kept]
    shown = [int(counts[i]) for i in kept]
    if len(kept) < len(order):
        values.append(f"{len(order) - len(kept):,} others")
        shown.append(int(counts.sum()) - sum(shown))
    return np.minimum(rank[inverse], len(values) - 1).astype(np.uint8), values, shown
