"""The crops of images as workers make them: decoded, cut, and where an image is unreadable those of the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.data.decode import decode, open_image
from moco.data.memory import Skipped
from moco.data.opened import Opened
from moco.data.source import Source, Unreadable
from moco.errors import MocoError


class Cutter(Protocol):
    """What makes crops of an image: its views."""

    size: int
    """Pixels of a side of a crop."""
    channels: int
    dtype: torch.dtype
    """Of a crop, as its image has it."""

    def at(self, step: int, steps: int) -> Cutter:
        """What makes those of a step out of so many."""
        ...

    def geometry(self, sizes: NDArray[np.int64], index: NDArray[np.int64], epoch: int) -> Sequence[Any]:
        """Where the crops of N images of these heights and widths (N x 2) lie: one thing for each view."""
        ...

    def cut_into(self, out: Tensor, image: Opened, where: Sequence[Any], row: int) -> None:
        """Write the crops of one image, uint8 V x 3 x S x S, that `where` has in this row; raises Unreadable."""
        ...


def cut_all(
    source: Source,
    cutter: Cutter,
    index: NDArray[np.int64],
    names: NDArray[np.int64],
    epoch: int,
    views: slice,
    skipped: Skipped,
) -> Tensor:
    """The crops of some of the views of N images, N x V x C x S x S, drawn as they are named.

    What is passed over as unreadable is noted in `skipped`; raises MocoError where no image can be read.
    """

    def where_of(images: Sequence[_Found], drawn_by: NDArray[np.int64]) -> Sequence[Any]:
        sizes = np.array([(image.opened.header.height, image.opened.header.width) for image in images])
        return cutter.geometry(sizes, drawn_by, epoch)[views]

    images = [_open_or_next(source, int(i), skipped) for i in index]
    where = where_of(images, names)
    crops = torch.empty(len(index), len(where), cutter.channels, cutter.size, cutter.size, dtype=cutter.dtype)
    for row, image in enumerate(images):
        try:
            cutter.cut_into(crops[row], image.opened, where, row)
        except Unreadable as error:
            skipped[image.position] = str(error)
            of_row = partial(where_of, drawn_by=names[row : row + 1])
            _cut_next(source, cutter, crops[row], int(index[row]), skipped, of_row)
    return crops


def _cut_next(
    source: Source,
    cutter: Cutter,
    out: Tensor,
    i: int,
    skipped: Skipped,
    where_of: Callable[[Sequence[_Found]], Sequence[Any]],
) -> None:
    """The crops of the next image behind the unreadable image i whose pixels can be read."""
    while True:
        image = _open_or_next(source, i, skipped)
        try:
            cutter.cut_into(out, image.opened, where_of([image]), 0)
        except Unreadable as error:
            skipped[image.position] = str(error)
        else:
            return


@dataclass(frozen=True)
class _Found:
    """An image whose header was read, and where in the source it is."""

    opened: Opened
    position: int


def _open_or_next(source: Source, i: int, skipped: Skipped) -> _Found:
    """Image i, or the next one that is not known to be unreadable and whose header can be read."""
    offset = 0
    while offset < len(source):
        j = (i + offset) % len(source)
        offset += 1
        if j not in skipped:
            try:
                return _Found(open_image(source.raw(j)), j)
            except Unreadable as error:
                skipped[j] = str(error)
                offset += 0 if error.beyond is None else max(0, error.beyond - j - 1)
    raise _none_readable(source, i, skipped)


def _none_readable(source: Source, i: int, skipped: Skipped) -> MocoError:
    return MocoError(f"none of the {len(source)} images can be read ({source.name(i)}: {next(iter(skipped.values()))})")


def read_or_next(source: Source, i: int, skipped: Skipped) -> NDArray[np.uint8]:
    """Image i, or where it is unreadable the next one that is not; what was passed over is noted in `skipped`."""
    offset = 0
    while offset < len(source):
        j = (i + offset) % len(source)
        try:
            return decode(source.raw(j))
        except Unreadable as error:
            skipped[j] = str(error)
            offset += 1 if error.beyond is None else max(1, error.beyond - j)
    raise _none_readable(source, i, skipped)
