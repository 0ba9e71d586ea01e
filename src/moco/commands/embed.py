"""`moco embed`: the features of images, with paths and labels, in a file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from moco.commands.tell import Silent, Teller
from moco.data.open import open_source
from moco.device import place
from moco.embed import Prepared, embed
from moco.errors import MocoError
from moco.machine import Machine
from moco.run.load import load
from moco.search.features import SUFFIXES, FeatureSet, read_features, refuse_other_suffixes, write_features


def embed_images(
    encoder: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    machine: Machine | None = None,
    tell: Teller | None = None,
) -> FeatureSet:
    """Features of every readable image of `data` by an encoder that `load` opens; written to `out`, if it is given."""
    tell = tell or Silent()
    if out is not None:
        refuse_other_suffixes(Path(out))
    machine = machine or Machine()
    source = open_source(data)
    module, preprocess = load(encoder)
    placement = place(machine)
    images = Prepared(source, preprocess.centre, machine.decoders)
    features = embed(placement.put(module), images, preprocess.normalise, placement).numpy()
    if not np.isfinite(features).all():
        raise MocoError(f"{encoder} gives features that are not finite; is it trained?")
    if images.skipped:
        first, why = next(iter(images.skipped.items()))
        tell.note(f"{len(images.skipped)} images cannot be read and are left out ({source.name(first)}: {why})")
    where = str(Path(data).resolve()) if Path(data).exists() else str(data)
    index = images.index
    names = [source.name(int(i)) for i in index]
    labels = [source.label(int(i)) or "" for i in index]
    found = FeatureSet(
        features, names, labels, index, where, str(Path(encoder).resolve() if Path(encoder).exists() else encoder)
    )
    if out is not None:
        write_features(Path(out), found)
        tell.note(f"{out}: {len(features):,} images, {features.shape[1]} numbers each")
    return found


def features_of(
    encoder: str | os.PathLike[str],
    data: str | os.PathLike[str] | None,
    machine: Machine | None = None,
    tell: Teller | None = None,
) -> FeatureSet:
    """Features from a file that `embed_images` wrote, or else by an encoder from `data`."""
    if Path(encoder).suffix in SUFFIXES:
        found = read_features(Path(encoder))
        return found if data is None else FeatureSet(**{**vars(found), "data": str(data)})
    if data is None:
        raise MocoError(f"--data is missing: {encoder} is an encoder, not a file of features; name the images")
    return embed_images(encoder, data, machine=machine, tell=tell)
