"""How a page of a map finds by something new: an image, or words where the run has learnt to read them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from moco.errors import MocoError
from moco.explore.kept import Kept
from moco.explore.search import Vector, Ways
from moco.run.directory import RunDirectory, is_run

if TYPE_CHECKING:
    from moco.run.load import Opened
    from moco.run.text_file import TextEncoder
    from moco.search.features import FeatureSet

_ROWS = 4096
"""Images whose features go through a head at once."""


def ways_of(embedder: str, kept: Kept) -> Ways:
    """Those that there are: by an image where its encoder is still there, by words where `keep_told` kept its half."""
    library = embedder.startswith(("torchvision:", "timm:"))
    if not embedder or not (library or Path(embedder.partition("#")[0]).exists()):
        return Ways()
    path = Path(embedder)
    reads = is_run(path) and RunDirectory(path).text_encoder.exists() and kept.told.exists()
    return Ways(_ByImage(embedder), _ByText(RunDirectory(path).text_encoder) if reads else None)


def keep_told(what: str | os.PathLike[str], found: FeatureSet, kept: Kept) -> None:
    """Keep what words are compared with, where `what` is a run that reads: unit vectors of its head for each image."""
    path = Path(what)
    kept.told.unlink(missing_ok=True)
    if not (is_run(path) and RunDirectory(path).text_encoder.exists()):
        return
    import torch

    from moco.run.encoder_file import read_encoder

    encoder = read_encoder(RunDirectory(path).encoder)[0]
    with torch.inference_mode():
        parts = torch.split(torch.from_numpy(found.features), _ROWS)
        kept.keep_told(np.concatenate([encoder.vectors(part).numpy() for part in parts]))


@dataclass(frozen=True)
class _ByImage:
    """The feature of an encoded image; the encoder is opened for the first."""

    embedder: str
    lock: Lock = field(default_factory=Lock)
    opened: list[Opened] = field(default_factory=list)

    def __call__(self, encoded: bytes) -> Vector:
        import torch

        from moco.data.decode import decode
        from moco.data.seen import open_seen
        from moco.data.source import Unreadable
        from moco.run.load import open_encoder

        with self.lock:
            if not self.opened:
                self.opened.append(open_encoder(self.embedder))
            backbone, preprocess = self.opened[0].backbone.eval(), self.opened[0].preprocess
            try:
                raw: Any = encoded if preprocess.pixels is None else open_seen(encoded, preprocess.pixels)
                pixels = decode(raw)
            except Unreadable as error:
                raise MocoError(f"this image cannot be read: {error.reason}") from None
            with torch.inference_mode():
                feature = backbone(preprocess.normalise(preprocess.centre(pixels)[None]))[0]
        return np.asarray(feature.float().numpy(), dtype=np.float32)


@dataclass(frozen=True)
class _ByText:
    """The unit vector of words; the encoder of texts is opened for the first."""

    file: Path
    lock: Lock = field(default_factory=Lock)
    opened: list[TextEncoder] = field(default_factory=list)

    def __call__(self, words: str) -> Vector:
        from moco.run.text_file import read_text_encoder

        if not words.strip():
            raise MocoError("there are no words; write what the images should show")
        with self.lock:
            if not self.opened:
                self.opened.append(read_text_encoder(self.file))
            return np.asarray(self.opened[0]([words]).numpy()[0], dtype=np.float32)
