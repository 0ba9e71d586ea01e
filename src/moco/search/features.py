"""A file of features: vectors with the names of their images and, where there are any, their labels."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.errors import MocoError
from moco.run.atomic import write_atomically

SUFFIXES = (".npz", ".parquet")


@dataclass(frozen=True)
class FeatureSet:
    """Features of the readable images of a source."""

    features: NDArray[np.float32]
    """N x D, as the encoder gives them."""
    paths: list[str]
    """What each image is called."""
    labels: list[str]
    """The class of each image as its folder or list states it; empty words where there is none."""
    index: NDArray[np.int64]
    """The position of each image in its source."""
    data: str
    """What to open to see the images again."""
    encoder: str
    """Where the encoder lay."""

    def unit(self) -> NDArray[np.float32]:
        """The features with length 1, whose products are cosines; zero stays zero."""
        length = np.linalg.norm(self.features, axis=1, keepdims=True)
        scaled: NDArray[np.float32] = (self.features / np.maximum(length, 1e-12)).astype(np.float32)
        return scaled


def refuse_other_suffixes(path: Path) -> None:
    """Raise MocoError for a file name that is neither .npz nor .parquet, or .parquet without pyarrow."""
    if path.suffix not in SUFFIXES:
        raise MocoError(f"--out {path}: features are written as .npz or .parquet")
    if path.suffix == ".parquet":
        _pyarrow()


def write_features(path: Path, found: FeatureSet) -> None:
    """Write .npz (arrays features, paths, labels, index, data, encoder) or .parquet (a row for each image)."""
    refuse_other_suffixes(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        arrays: dict[str, Any] = {
            "features": found.features,
            "paths": np.array(found.paths, dtype=np.str_),
            "labels": np.array(found.labels, dtype=np.str_),
            "index": found.index,
            "data": np.array(found.data),
            "encoder": np.array(found.encoder),
        }
        write_atomically(path, lambda file: np.savez(file, **arrays))
        return
    pa, pq = _pyarrow()
    width = found.features.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(found.features.ravel()), width)
    columns = {
        "path": pa.array(found.paths),
        "label": pa.array(found.labels),
        "index": pa.array(found.index),
        "features": vectors,
    }
    table = pa.table(columns).replace_schema_metadata({"moco.data": found.data, "moco.encoder": found.encoder})
    write_atomically(path, lambda file: pq.write_table(table, file))


def read_features(path: Path) -> FeatureSet:
    """The features that `write_features` wrote; raises MocoError where the file is something else."""
    if not path.exists():
        raise MocoError(f"there is no file of features {path}")
    try:
        return _read_npz(path) if path.suffix == ".npz" else _read_parquet(path)
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, MocoError):
            raise
        raise MocoError(f"{path} is not a file of features written by moco embed ({error})") from None


def _read_npz(path: Path) -> FeatureSet:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        if "features" not in file:
            raise MocoError(f"{path} is not a file of features written by moco embed; it holds {', '.join(file)}")
        return FeatureSet(
            file["features"],
            file["paths"].tolist(),
            file["labels"].tolist(),
            file["index"],
            str(file["data"]),
            str(file["encoder"]),
        )


def _read_parquet(path: Path) -> FeatureSet:
    _, pq = _pyarrow()
    table = pq.read_table(path)
    about = table.schema.metadata or {}
    column = table["features"].combine_chunks()
    features = np.asarray(column.flatten()).reshape(len(table), -1).astype(np.float32)
    words = {name: about[f"moco.{name}".encode()].decode() for name in ("data", "encoder")}
    return FeatureSet(
        features, table["path"].to_pylist(), table["label"].to_pylist(), np.asarray(table["index"]), **words
    )


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MocoError(".parquet needs pyarrow: pip install 'momentum-contrast[parquet]', or write .npz") from None
    return pyarrow, pyarrow.parquet
