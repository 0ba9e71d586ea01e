"""Images of a map as small JPEGs, made when they are looked at; one that has gone is a grey tile that says so."""

from __future__ import annotations

import io
import textwrap
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from moco.data.picture import picture_of
from moco.data.source import Source, Unreadable
from moco.errors import MocoError

SMALL, LARGE = 128, 1024
"""Pixels of the longer side."""

_KEPT = 48 << 20
"""Bytes of small pictures that stay in memory."""


class Tiles:
    """Pictures by row; `opens` is called for the source when the first is asked for."""

    def __init__(self, names: Sequence[str], opens: Callable[[], Source]) -> None:
        self._names, self._open = names, opens
        self._source: Source | None = None
        self._why = ""
        self._places: dict[str, int] = {}
        self._opening, self._keeping = Lock(), Lock()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def small(self, row: int) -> bytes:
        """A JPEG of at most SMALL px; IndexError where there is no such row."""
        if not 0 <= row < len(self._names):
            raise IndexError(row)
        with self._keeping:
            if row in self._kept:
                self._kept.move_to_end(row)
                return self._kept[row]
        made = self._jpeg(row, SMALL)
        with self._keeping:
            if row not in self._kept:
                self._kept[row] = made
                self._bytes += len(made)
            while self._bytes > _KEPT:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made

    def large(self, row: int) -> bytes:
        """A JPEG of at most LARGE px; IndexError where there is no such row."""
        if not 0 <= row < len(self._names):
            raise IndexError(row)
        return self._jpeg(row, LARGE)

    def _jpeg(self, row: int, side: int) -> bytes:
        try:
            image = PIL.Image.fromarray(self._pixels(row))
        except Unreadable as error:
            return grey_tile(error.reason, min(side, 256))
        scale = min(1.0, side / max(image.size))
        if max(image.size) <= side // 2:  # so few pixels that they are shown as squares
            scale = float(max(1, min(8, side // 2 // max(image.size) * 2)))
        size = tuple(max(1, round(length * scale)) for length in image.size)
        how = PIL.Image.Resampling.NEAREST if scale > 1 else PIL.Image.Resampling.LANCZOS
        return _encoded(image.resize((size[0], size[1]), how) if size != image.size else image)

    def _pixels(self, row: int):  # type: ignore[no-untyped-def]
        source = self._opened()
        place = self._places.get(self._names[row])
        if place is None:
            raise Unreadable("no longer there")
        return picture_of(source, place)

    def _opened(self) -> Source:
        with self._opening:
            if self._source is None and not self._why:
                try:
                    source = self._open()
                    self._places = {source.name(i): i for i in range(len(source))}
                    self._source = source
                except MocoError as error:
                    self._why = str(error)
            if self._source is None:
                raise Unreadable(self._why)
            return self._source


def grey_tile(words: str, side: int) -> bytes:
    """A grey JPEG with a sentence on it."""
    image = PIL.Image.new("RGB", (side, side), "#c8ccd2")
    letters = max(8, side // 7)
    plain = words.encode("latin-1", "replace").decode("latin-1")
    lines = textwrap.wrap(plain, letters)[: max(1, side // 14 - 1)]
    font = PIL.ImageFont.load_default(size=max(10, side // 11))
    pen = PIL.ImageDraw.Draw(image)
    pen.multiline_text((side / 2, side / 2), "\n".join(lines), fill="#3c4450", font=font, anchor="mm", align="center")
    return _encoded(image)


def _encoded(image: PIL.Image.Image) -> bytes:
    file = io.BytesIO()
    save = partial(image.save, file, "JPEG", quality=86)
    save()
    return file.getvalue()
