"""`moco embed --text` and `moco neighbours --text`: the unit vectors of texts, in the space of a run's images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moco.commands.tell import Silent, Teller
from moco.errors import MocoError
from moco.run.directory import RunDirectory, is_run
from moco.run.text_file import read_text_encoder
from moco.search.features import FeatureSet, refuse_other_suffixes, write_features


def embed_texts(
    encoder: str | os.PathLike[str],
    texts: Sequence[str],
    out: str | os.PathLike[str] | None = None,
    *,
    tell: Teller | None = None,
) -> FeatureSet:
    """Unit vectors of texts by a run of image-text, comparable with `features="head"` of images; written to `out`.

    Raises MocoError for what is no run with a text encoder, and for an empty text.
    """
    folder = Path(encoder)
    if not is_run(folder):
        raise MocoError(f"{os.fspath(encoder)} is no run; texts are embedded by runs of moco pretrain image-text")
    if out is not None:
        refuse_other_suffixes(Path(out))
    if empty := [i for i, text in enumerate(texts) if not text.strip()]:
        raise MocoError(f"--text: text {empty[0] + 1} of {len(texts)} is empty")
    read = read_text_encoder(RunDirectory(folder).text_encoder)
    features = read(texts).numpy().astype(np.float32)
    maker = str(folder.resolve())
    found = FeatureSet(features, list(texts), [""] * len(texts), np.arange(len(texts)), "", maker)
    if out is not None:
        write_features(Path(out), found)
        note = f"{out}: {len(texts):,} texts, {features.shape[1]} numbers each (of the head, as for images)"
        (tell or Silent()).note(note)
    return found
