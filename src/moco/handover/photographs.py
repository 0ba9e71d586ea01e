"""Real images to compare on: the run's own, others that are named, or photographs that come with scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from moco.data.decode import decode
from moco.data.open import open_source
from moco.data.seen import seen
from moco.data.shard_names import is_url
from moco.data.source import Source, Unreadable, sample
from moco.errors import MocoError
from moco.run.load import Opened

Pixels = NDArray[Any]

COUNT = 8
_CROP = 256


def photographs(opened: Opened, data: str | os.PathLike[str] | None) -> tuple[list[Pixels], str]:
    """Up to COUNT images (H x W x C), spread over `data` or over what the run saw, and what they are in words.

    Where neither is named or can still be read here, parts of two photographs. Raises MocoError for `data` in which
    nothing can be read, and where photographs are not what the encoder takes.
    """
    pixels = opened.preprocess.pixels
    if data is not None:
        return _some(seen(open_source(data), pixels)), os.fspath(data)
    where = opened.run.read("data.json").get("data") if opened.run is not None else None
    if where is not None and not is_url(where):
        try:
            return _some(seen(open_source(where), pixels)), where
        except MocoError:  # moved, or removed
            pass
    if pixels is not None:
        raise MocoError(
            "this encoder's images are no photographs, and those of the run cannot be read here: name some with --data"
        )
    return list(_supplied()), "photographs"


def _some(source: Source) -> list[Pixels]:
    found, reason = [], "no images"
    for i in sample(source, COUNT):
        try:
            found.append(decode(source.raw(int(i))))
        except Unreadable as error:
            reason = str(error)
    if not found:
        raise MocoError(f"none of the images of {source.description} can be read ({reason}); name others with --data")
    return found


def _supplied() -> Iterator[Pixels]:
    from sklearn.datasets import load_sample_images

    for photograph in load_sample_images().images:
        height, width = photograph.shape[:2]
        for k in range(COUNT // 2):
            top, left = k * (height - _CROP) // (COUNT // 2 - 1), k * (width - _CROP) // (COUNT // 2 - 1)
            yield photograph[top : top + _CROP, left : left + _CROP].copy()
