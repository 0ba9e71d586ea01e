"""A trained encoder, in two lines of Python."""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.run.directory import find_run
from moco.run.encoder_file import read_encoder


def load(path: str | os.PathLike[str], head: bool = False) -> tuple[nn.Module, Preprocess]:
    """The encoder of a run (or of its encoder.pt) in eval mode, and the preprocessing that belongs to it.

    `preprocess` maps a PIL image or an H x W x 3 uint8 array to a 3 x S x S tensor; the encoder maps N x 3 x S x S to
    features N x D; with `head`, to the N x C unit vectors of the projection head.
    """
    path = Path(path)
    file = find_run(path).encoder if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise MocoError(f"{path} has no encoder yet; it is written with the first checkpoint")
    encoder, recipe, _ = read_encoder(file)
    return encoder if head else encoder.backbone, Preprocess(recipe.image_size, recipe.normalize)
