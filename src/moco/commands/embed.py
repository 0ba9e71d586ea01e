"""`moco embed`: the features of images, with paths and labels, in a file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from moco import distributed
from moco.commands.opened import open_for_images
from moco.commands.tell import Teller, listener
from moco.data.names import number_of
from moco.data.open import open_source
from moco.data.pieces import pieces
from moco.data.seen import seen
from moco.device import place_all
from moco.embed import Prepared, embed
from moco.errors import MocoError
from moco.machine import Machine
from moco.run.load import Kind
from moco.search.features import SUFFIXES, FeatureSet, read_features, refuse_other_suffixes, write_features

Name = str | os.PathLike[str]


def embed_images(
    encoder: Name,
    data: Name,
    out: Name | None = None,
    *,
    features: Kind = "backbone",
    machine: Machine | None = None,
    tell: Teller | None = None,
) -> FeatureSet:
    """Features of every readable image of `data` by an encoder that `load` opens; written to `out`, if it is given.

    `features` are of the kind that `load` gives. Started by torchrun, each process embeds a share; all return the same,
    and the main one writes.
    """
    machine = machine or Machine()
    with distributed.processes(machine.device, machine.timeout_seconds):
        tell = listener(tell)
        if out is not None:
            distributed.on_main(lambda: refuse_other_suffixes(Path(out)))
        found = _embedded(encoder, data, features, machine, tell)
        if out is not None:
            distributed.on_main(lambda: write_features(Path(out), found))
            tell.note(
                f"{out}: {number_of(len(found.features), 'image')}, {found.features.shape[1]} numbers each ({features})"
            )
    return found


def _embedded(encoder: Name, data: Name, kind: Kind, machine: Machine, tell: Teller) -> FeatureSet:
    source = distributed.on_each(lambda: open_source(data))
    opened = open_for_images(encoder, tell)
    module, preprocess = opened.module(kind), opened.preprocess
    source = distributed.on_each(lambda: pieces(source, preprocess.pixels))
    placement = place_all(machine)
    images = Prepared(seen(source, preprocess.pixels), preprocess.centre, machine.decoders, together=True)
    features = embed(placement.put(module), images, preprocess.normalise, placement).numpy()
    if not np.isfinite(features).all():
        raise MocoError(f"{encoder} gives features that are not finite; is it trained?")
    if images.left_out:
        tell.note(images.left_out)
    where = str(Path(data).resolve()) if Path(data).exists() else str(data)
    index = images.index
    names = [source.name(int(i)) for i in index]
    labels = [source.label(int(i)) or "" for i in index]
    maker = str(Path(encoder).resolve() if Path(encoder).exists() else encoder)
    return FeatureSet(features, names, labels, index, where, maker)


def features_of(
    encoder: Name,
    data: Name | None,
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
