"""The table behind a map: a row for each image. Names that begin with __ are for the page, and not shown."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from moco.run.atomic import write_atomically

if TYPE_CHECKING:
    from moco.explore.columns import Columns

SHOWN = {
    "file": "its name in the data",
    "folder": "where the file lies",
    "label": "the class, where it is known",
    "group": "images that show the same, by --pairs",
    "cluster": "images alike by the encoder (k-means)",
    "copies": "near duplicates of each other; none: it has none",
    "distance": "to the most similar image (1 - cosine); 0: the same",
    "outlier": "mean distance to the ten most similar; high: unlike all",
    "loss": "of the contrast, at the last checkpoint; high: hard",
}
"""Columns that a person sees, and what each says; label, group and loss where they are known."""


def write_table(
    path: Path,
    names: list[str],
    labels: list[str],
    found: Columns,
    points: NDArray[np.float32],
    losses: NDArray[np.float32] | None,
    groups: list[str] | None = None,
) -> None:
    """Write it as .parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = np.arange(len(names), dtype=np.int32)
    data: dict[str, Any] = {
        "__row": pa.array(rows),
        "image": pa.array(rows),
        "file": pa.array(names),
        "folder": pa.array([posixpath.dirname(name) or "." for name in names]),
    }
    if any(labels):
        data["label"] = pa.array([label or None for label in labels])
    if groups is not None:
        data["group"] = pa.array([group or None for group in groups])
    digits = len(str(int(found.cluster.max(initial=1))))
    data["cluster"] = pa.array([f"cluster {number:0{digits}d}" for number in found.cluster.tolist()])
    data["copies"] = pa.array([f"group {number}" if number else None for number in found.copies.tolist()])
    data["distance"] = pa.array(found.distance)
    data["outlier"] = pa.array(found.outlier)
    if losses is not None:
        data["loss"] = pa.array(losses)
    data["__x"], data["__y"] = pa.array(points[:, 0]), pa.array(points[:, 1])
    data["__neighbours"] = _neighbours(pa, found)
    table = pa.table(data)
    write_atomically(path, lambda file: pq.write_table(table, file, compression="zstd"))


def _neighbours(pa: Any, found: Columns) -> Any:
    """{ids, distances} of each, without places that an approximate search left empty."""
    there = found.places >= 0
    ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    ids = pa.ListArray.from_arrays(ends, pa.array(found.places[there].astype(np.int32)))
    distances = pa.ListArray.from_arrays(ends, pa.array((1 - found.cosines[there]).astype(np.float32)))
    return pa.StructArray.from_arrays([ids, distances], ["ids", "distances"])
