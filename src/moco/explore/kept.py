"""What is kept beside a run, so that a second look opens at once: features, the map, and what they were made of."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.errors import MocoError
from moco.run.atomic import write_atomically, write_text


@dataclass(frozen=True)
class About:
    """What a map shows and was made with."""

    encoder: str
    """What was asked to be explored."""
    embedder: str
    """What opens the encoder again; empty where a file of features does not say."""
    data: str
    """What to open to see the images again."""
    stamp: str
    """Of the encoder's file: another stamp is another encoder."""
    fingerprint: str
    """Of the images, as a run keeps it; empty where features came in a file."""
    seed: int
    """Of the map and the clusters."""
    threshold: float
    clusters: int
    losses: bool
    images: int
    width: int
    """D, the length of a feature."""
    labelled: bool
    notes: list[str] = field(default_factory=list)
    version: int = 2
    """Of these files."""


class Kept:
    """The files of a folder, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def features(self) -> Path:
        """Features, names and labels, as `moco embed` writes them."""
        return self.folder / "features.npz"

    @property
    def table(self) -> Path:
        """A row for each image: where it is on the map, and what is known of it."""
        return self.folder / "images.parquet"

    @property
    def unit(self) -> Path:
        """Features of length 1 in half precision (N x D), which a search by an image goes through."""
        return self.folder / "unit.npy"

    @property
    def told(self) -> Path:
        """Unit vectors of images among those of texts (N x C, half precision), where the run reads."""
        return self.folder / "told.npy"

    @property
    def parts(self) -> Path:
        """Features of some images each, while not all are embedded."""
        return self.folder / "parts"

    def about(self) -> About | None:
        """What was made; None where nothing whole is there."""
        path = self.folder / "about.json"
        if not (path.exists() and self.table.exists() and self.unit.exists()):
            return None
        try:
            return About(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def finish(self, about: About) -> None:
        """Write down what was made, last of all; parts are needed no more."""
        write_text(self.folder / "about.json", json.dumps(asdict(about), indent=1) + "\n")
        shutil.rmtree(self.parts, ignore_errors=True)

    def open(self) -> None:
        """Make the folder; raises MocoError where it cannot be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MocoError(f"--out {self.folder}: {(error.strerror or str(error)).lower()}; name another") from None

    def start_parts(self, key: str) -> None:
        """Parts of the same work stay; those of another go."""
        mark = self.parts / "of.txt"
        if mark.exists() and mark.read_text() == key:
            return
        shutil.rmtree(self.parts, ignore_errors=True)
        self.parts.mkdir(parents=True)
        write_text(mark, key)

    def part(self, first: int) -> dict[str, NDArray[Any]] | None:
        """The arrays of the part that begins at image `first`; None where it is not there, or damaged."""
        path = self.parts / f"{first:09d}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError, KeyError):
            return None

    def keep_part(self, first: int, features: NDArray[np.float32], index: NDArray[np.int64]) -> None:
        """Write one."""
        path = self.parts / f"{first:09d}.npz"
        write_atomically(path, lambda file: np.savez(file, features=features, index=index))

    def keep_unit(self, unit: NDArray[np.float32]) -> None:
        """Write the features that are searched."""
        write_atomically(self.unit, lambda file: np.save(file, unit.astype(np.float16)))

    def keep_told(self, told: NDArray[np.float32]) -> None:
        """Write the vectors that words are compared with."""
        write_atomically(self.told, lambda file: np.save(file, told.astype(np.float16)))
