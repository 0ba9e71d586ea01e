"""One file, many images: pages, slices and frames, and tiles of what is too large to be decoded whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.data.labelled import Labelled
from moco.data.names import number_of
from moco.data.native import open_native
from moco.data.opened import Opened
from moco.data.seen import as_shown, chosen, filled
from moco.data.source import Hints, Source, Unreadable, native, read_in_any_order
from moco.data.values import Facts, Native, Values
from moco.errors import MocoError
from moco.machine import cores
from moco.recipe.pixels import Pixels

_ALL_PAGES = -1
"""In the table of pieces: the brightest of all pages, value by value."""

Row = tuple[int, int, int, int]
"""File, page, top, left."""


def pieces(source: Source, pixels: Pixels | None) -> Source:
    """The source with a position for each page or tile that `pixels` asks for; itself where none is asked for.

    Looks at every file, and where empty tiles are left out, into every tile. Raises MocoError where nothing is left.
    """
    if pixels is None or (pixels.pages == "first" and not pixels.tiles):
        return source
    if not read_in_any_order(source):
        flag = f"--tiles {pixels.tiles}" if pixels.tiles else f"--pages {pixels.pages}"
        raise MocoError(
            f"{flag}: these shards are read from front to end, without looking into each file first; moco pack makes a "
            "copy whose files are looked into, or take --pages first without --tiles"
        )
    return Pieces(source, pixels)


def labelled_pieces(labelled: Labelled, pixels: Pixels | None) -> Labelled:
    """The same of images with classes: each piece is of the class of its file."""
    cut = pieces(labelled.source, pixels)
    bank = None if labelled.bank is None else labelled_pieces(labelled.bank, pixels)
    if not isinstance(cut, Pieces):
        return labelled
    return Labelled(cut, labelled.labels[cut.rows[:, 0]], labelled.classes, bank)


class Pieces:
    """Pages and tiles of the files of a source, by position; an unreadable file is one piece, which says why."""

    def __init__(self, source: Source, pixels: Pixels) -> None:
        self.whole, self.pixels = source, pixels
        with ThreadPoolExecutor(cores()) as threads:
            found = list(threads.map(self._cut, range(len(source))))
        self.rows: NDArray[np.int64] = np.array([row for rows, _ in found for row in rows], dtype=np.int64).reshape(
            -1, 4
        )
        self.empty = sum(empty for _, empty in found)
        if not len(self.rows):
            raise MocoError(f"{source.description}: all {self.empty:,} tiles are empty; --tile-skip 0 keeps them")
        self.description = f"{source.description}, read as {self.said}"

    @property
    def said(self) -> str:
        """How many images they are, and why."""
        p = self.pixels
        words = {"all": "all pages", "middle": "the middle page", "max": "the brightest of all pages", "first": ""}[
            p.pages
        ]
        if p.tiles:
            beside = f", {self.empty:,} empty ones left out" if self.empty else ""
            words += f"{' in ' if words else ''}tiles of {p.tiles} px with {p.overlap} px of overlap{beside}"
        return f"{number_of(len(self), 'image')} ({words})"

    @property
    def others(self) -> list[str]:
        """What lies beside the images and is not read."""
        return list(getattr(self.whole, "others", ()))

    @property
    def hints(self) -> Hints:
        """Those of the source."""
        return self.whole.hints

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, i: int) -> str:
        """The file, with its page and tile."""
        file, page, top, left = (int(n) for n in self.rows[i])
        words = f", page {page}" if self.pixels.pages == "all" else ""
        return self.whole.name(file) + words + (f", tile {top}+{left}" if self.pixels.tiles else "")

    def native(self, i: int) -> Native:
        """The piece, opened; raises Unreadable."""
        file, page, top, left = (int(n) for n in self.rows[i])
        return _Piece(as_shown(open_native(native(self.whole, file)), self.pixels), page, top, left, self.pixels.tiles)

    def raw(self, i: int) -> Opened:
        """Pieces are only read as the data set says: see `seen`."""
        raise Unreadable(f"{self.name(i)} is a piece of a file")

    def label(self, i: int) -> str | None:
        """The class of the file."""
        return self.whole.label(int(self.rows[i, 0]))

    def _cut(self, file: int) -> tuple[list[Row], int]:
        """The pieces of one file, and how many were empty."""
        p = self.pixels
        try:
            image = as_shown(open_native(native(self.whole, file)), self.pixels)
            pages = {"all": list(range(image.pages)), "first": [0], "middle": [image.pages // 2], "max": [_ALL_PAGES]}
            places = [(top, left) for top in _starts(image.facts.height, p) for left in _starts(image.facts.width, p)]
            rows = [(file, page, top, left) for page in pages[p.pages] for top, left in places]
            if not (p.tiles and p.skip):
                return rows, 0
            kept = [row for row in rows if not self._is_empty(_Piece(image, *row[1:], p.tiles))]
        except Unreadable:
            return [(file, 0, 0, 0)], 0
        return kept, len(rows) - len(kept)

    def _is_empty(self, piece: _Piece) -> bool:
        """Whether nearly all values of every channel are nearly the same."""
        values = filled(chosen(piece.values(), piece.facts, self.pixels), self.pixels)[::4, ::4]
        low, high = np.percentile(values, (1, 99), axis=(0, 1))
        span = np.asarray(self.pixels.white) - np.asarray(self.pixels.black)
        return bool(((high - low) / span < self.pixels.skip).all())


def _starts(length: int, p: Pixels) -> list[int]:
    """Where tiles begin along a side: the last ends where the image does."""
    if not p.tiles or length <= p.tiles:
        return [0]
    return sorted({*range(0, length - p.tiles, p.tiles - p.overlap), length - p.tiles})


class _Piece:
    """One page or tile of a file."""

    def __init__(self, image: Native, page: int, top: int, left: int, side: int) -> None:
        self._image, self._page, self._top, self._left = image, page, top, left
        width, height = image.facts.width, image.facts.height
        self._tiled = bool(side)
        self.facts: Facts = replace(image.facts, width=min(side or width, width), height=min(side or height, height))
        self.pages = 1

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        """The values of the piece; raises Unreadable."""
        if self._page != _ALL_PAGES:
            return self._one(self._page, reduction)
        most = self._one(0)
        for number in range(1, self._image.pages):
            most = np.maximum(most, self._one(number))
        return most

    def _one(self, page: int, reduction: int = 1) -> Values:
        if not self._tiled:
            return self._image.values(page, reduction)
        box = (self._top, self._left, self.facts.height, self.facts.width)
        window: Any = getattr(self._image, "window", None)
        if window is not None:
            found: Values = window(page, box)
            return found
        top, left, height, width = box
        return self._image.values(page)[top : top + height, left : left + width]
