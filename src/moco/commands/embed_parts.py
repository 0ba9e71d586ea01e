"""Embedding that may be stopped: features are kept part by part, and the same call goes on from the last whole one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.commands.embed import Name
from moco.commands.opened import open_for_images
from moco.commands.tell import Teller
from moco.data.part import Part
from moco.data.pieces import pieces
from moco.data.seen import seen
from moco.data.source import Source, fingerprint
from moco.device import Placement, place
from moco.embed import Prepared, embed
from moco.errors import MocoError
from moco.explore.kept import Kept
from moco.machine import Machine
from moco.run.load import Opened
from moco.search.features import FeatureSet, write_features

PART = 2048
"""Images of a part."""


def embed_in_parts(encoder: Name, source: Source, data: str, kept: Kept, machine: Machine, tell: Teller) -> FeatureSet:
    """Features of every readable image of `source`, written to `kept.features`; raises MocoError as `embed_images`."""
    opened = open_for_images(encoder, tell)
    pixels = opened.preprocess.pixels
    cut = pieces(source, pixels)
    kept.start_parts(f"{_digest(opened)} {fingerprint(source)} {PART}")
    placement = place(machine)
    module = placement.put(opened.backbone)
    images, done = seen(cut, pixels), tell.reading("embedding", len(cut))
    features, index, left_out = [], [], ""
    for first in range(0, len(cut), PART):
        part = kept.part(first)
        if part is None:
            positions = np.arange(first, min(first + PART, len(cut)))
            part, said = _embedded(module, images, positions, opened, placement, machine)
            left_out = left_out or said
            kept.keep_part(first, **part)
        if len(part["index"]):
            features.append(part["features"])
            index.append(part["index"])
        done(min(first + PART, len(cut)))
    if not index:
        raise MocoError(f"none of the {len(cut)} images of {cut.description} can be read")
    places = np.concatenate(index)
    if len(places) < len(cut):
        n = len(cut) - len(places)
        tell.note(f"{n:,} image{'s' * (n > 1)} cannot be read and {'are' if n > 1 else 'is'} left out{left_out}")
    maker = str(Path(encoder).resolve() if Path(encoder).exists() else encoder)
    found = FeatureSet(
        np.concatenate(features),
        [cut.name(i) for i in places.tolist()],
        [cut.label(i) or "" for i in places.tolist()],
        places,
        data,
        maker,
    )
    if not np.isfinite(found.features).all():
        raise MocoError(f"{encoder} gives features that are not finite; is it trained?")
    write_features(kept.features, found)
    return found


def _embedded(
    module: Any, images: Source, positions: NDArray[np.int64], opened: Opened, placement: Placement, machine: Machine
) -> tuple[dict[str, NDArray[Any]], str]:
    """{features, index} of the readable ones at `positions`, and the first that is not with its reason."""
    words = [""] * len(positions)
    prepared = Prepared(Part(images, positions, words, "a part"), opened.preprocess.centre, machine.decoders)
    try:
        features = embed(module, prepared, opened.preprocess.normalise, placement).numpy()
    except MocoError:
        if len(prepared.skipped) < len(positions):
            raise
        features = np.empty((0, 0), dtype=np.float32)
    said = ""
    if prepared.skipped:
        first, why = next(iter(prepared.skipped.items()))
        said = f" ({images.name(int(positions[first]))}: {why})"
    return {"features": features, "index": positions[prepared.index]}, said


def _digest(opened: Opened) -> str:
    """Of the weights: other weights are another encoder, whatever their file is called."""
    digest = hashlib.sha256(repr(opened.preprocess).encode())
    for name, tensor in opened.backbone.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
