"""TIFF of any layout: strips or tiles, planar or not, any bands and bits, BigTIFF, OME, ImageJ, GeoTIFF."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import tifffile

from moco.data.plain import check_sides, plain_errors
from moco.data.values import Facts, Values, finite, kept, on_white, turned, type_of

_NO_DATA, _ORIENTATION, _GEO_KEYS = 42113, 274, 34735
_WROTE = {"ome": "OME-TIFF", "imagej": "ImageJ"}
_BANDS = "CS"
"""tifffile's letters of axes along which bands lie: channels and samples. Of the others but Y and X, each is pages."""

_PAGES = ("YX", "YXS", "SYX")
"""Axes of a page that is decoded here part by part, without a copy of what is compressed."""


@cache
def _say_nothing() -> None:
    """What is wrong with a file is said by its reader. Once: setting a level goes through all loggers there are."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


class Tiff:
    """The first image series of a TIFF; thumbnails and masks beside it are passed over."""

    def __init__(self, file: bytes | str) -> None:
        _say_nothing()
        self._file = file
        self._kept: Any = None
        with plain_errors("TIFF"), self._open() as tiff:
            page, series = tiff.pages.first, tiff.series[0]
            self._turned = int(page.tags[_ORIENTATION].value) if _ORIENTATION in page.tags else 1
            photometric, samples = int(page.photometric), page.samplesperpixel
            extra = [int(one) for one in page.extrasamples]
            self._opacity = bool(extra) and extra[0] in (1, 2) and samples in (2, 4)
            self._inverted, self._palette = photometric == 0, page.colormap if photometric == 3 else None
            self._bits = int(page.bitspersample)
            self.axes, self.shape = series.axes, series.shape
            size = dict(zip(self.axes, self.shape, strict=True))
            height, width = size["Y"], size["X"]
            if self._turned in (5, 6, 7, 8):
                height, width = width, height
            bands = math.prod(n for axis, n in size.items() if axis in _BANDS) - self._opacity
            self.pages = math.prod(n for axis, n in size.items() if axis not in _BANDS + "YX")
            seen = photometric in (2, 6) and bands == 3
            tag = page.tags.get(_NO_DATA)
            self.facts = Facts(
                width,
                height,
                3 if self._palette is not None else bands,
                "uint8" if self._palette is not None else type_of(np.dtype(series.dtype)),
                colour=self._palette is not None or seen or bands == 1,
                rgb_first=photometric in (2, 6) and bands > 3,
                white=float(2**self._bits - 1) if self._bits in (10, 12, 14) else None,
                no_data=None if tag is None else finite(tag.value),
                container="GeoTIFF" if _GEO_KEYS in page.tags else _WROTE.get(series.kind, ""),
            )

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        """One page, upright; raises Unreadable."""
        check_sides(self.facts.width, self.facts.height)
        with plain_errors("TIFF"), self._open() as tiff:
            return self._seen(self._page(tiff.series[0], page))

    def window(self, page: int, box: tuple[int, int, int, int]) -> Values:
        """A box (top, left, height, width) of a page; of the file, only the parts that it lies in are decoded."""
        if self._turned != 1:
            top, left, height, width = box
            return self.values(page)[top : top + height, left : left + width]
        with plain_errors("TIFF"), self._open() as tiff:
            return self._seen(self._page(tiff.series[0], page, box))

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """The file's headers: of bytes read once, of a path each time, so that no file stays open."""
        if isinstance(self._file, bytes):
            if self._kept is None:
                self._kept = tifffile.TiffFile(io.BytesIO(self._file))
            yield self._kept
        else:
            with tifffile.TiffFile(self._file) as tiff:
                yield tiff

    def _page(self, series: Any, page: int, box: tuple[int, int, int, int] | None = None) -> Values:
        """Y x X x bands of one page, decoding no more than its own parts of the file where they are apart."""
        if (whole := self._as_stored(series)) is not None and self.pages == 1 and box is None:
            return self._bands_last(whole, self.axes)
        outer = [axis not in "YX" + _BANDS for axis in self.axes]
        inside = np.unravel_index(page, [n for n, out in zip(self.shape, outer, strict=True) if out] or [1])
        places = iter(int(i) for i in inside)
        lead = len(series.shape) - len(series.keyframe.shape)
        apart = len(series.pages) == math.prod(series.shape[:lead]) and all(outer[k] or k < lead for k in range(lead))
        if whole is not None:
            values = whole[tuple(next(places) if out else slice(None) for out in outer)]
            values = values if box is None else self._cut(values, outer, box)
        elif apart and lead and not any(outer[lead:]):
            where = [next(places) if out else slice(None) for out in outer[:lead]]
            numbers = np.arange(len(series.pages)).reshape(series.shape[:lead])[tuple(where)]
            values = np.stack([_decoded(series.pages[int(n)], box, self._file) for n in np.ravel(numbers)])
            values = values.reshape(*numbers.shape, *values.shape[1:]) if np.ndim(numbers) else values[0]
        elif not any(outer) and len(series.pages) == 1:
            values = _decoded(series.pages[0], box, self._file)
            values = values if box is not None else values.reshape(self.shape)
        else:
            values = series.asarray()[tuple(next(places) if out else slice(None) for out in outer)]
            values = values if box is None else self._cut(values, outer, box)
        return self._bands_last(values, "".join(axis for axis, out in zip(self.axes, outer, strict=True) if not out))

    def _as_stored(self, series: Any) -> Values | None:
        """All values as they lie in the file, not read yet, where they lie there one behind the other as they are."""
        if series.dataoffset is None or series.dtype.kind not in "uif":
            return None
        dtype, count = series.dtype.newbyteorder(series.keyframe.parent.byteorder), math.prod(series.shape)
        if isinstance(self._file, bytes):
            return np.frombuffer(self._file, dtype, count, series.dataoffset).reshape(series.shape)
        return np.memmap(self._file, dtype, "r", series.dataoffset, series.shape)

    def _bands_last(self, values: Values, axes: str) -> Values:
        order = [k for k, axis in enumerate(axes) if axis in _BANDS]
        values = values.transpose(axes.index("Y"), axes.index("X"), *order)
        return values if len(order) == 1 else values.reshape(*values.shape[:2], -1)

    def _cut(self, values: Values, outer: list[bool], box: tuple[int, int, int, int]) -> Values:
        axes = [axis for axis, out in zip(self.axes, outer, strict=True) if not out]
        top, left, height, width = box
        where = {"Y": slice(top, top + height), "X": slice(left, left + width)}
        return values[tuple(where.get(axis, slice(None)) for axis in axes)]

    def _seen(self, values: Values) -> Values:
        """Values as they are meant: palettes looked up, white over black, upright, without opacity."""
        if self._palette is not None:
            values = (self._palette[:, values[..., 0]].transpose(1, 2, 0) >> 8).astype(np.uint8)
        elif self._inverted and values.dtype.kind in "ub":
            values = ~values if values.dtype == bool else (2**self._bits - 1 - values).astype(values.dtype)
        values = kept(values)
        if values.dtype == np.uint8 and 1 < self._bits < 8:
            values = (values * (255 // (2**self._bits - 1))).astype(np.uint8)
        return turned(on_white(values) if self._opacity else values, self._turned)


def _decoded(page: Any, box: tuple[int, int, int, int] | None, raw: bytes | str) -> Values:
    """A page of the file, or a box (top, left, height, width) of it from the tiles or strips that it touches."""
    key = page.keyframe  # says for all pages alike how they are laid out
    if box is None and (isinstance(raw, str) or key.axes not in _PAGES or key.jpegheader):
        return np.asarray(page.asarray())
    top, left, height, width = box or (0, 0, key.imagelength, key.imagewidth)
    tall, wide = (key.tilelength, key.tilewidth) if key.is_tiled else (key.rowsperstrip, key.imagewidth)
    down, across = -(-key.imagelength // tall), -(-key.imagewidth // wide)
    apart = key.samplesperpixel if key.planarconfig == 2 else 1
    rows, columns = range(top // tall, -(-(top + height) // tall)), range(left // wide, -(-(left + width) // wide))
    parts = [(s * down + r) * across + c for s in range(apart) for r in rows for c in columns]
    out = np.empty((apart, height, width, key.samplesperpixel // apart), key.dtype)
    tables = {"jpegtables": key.jpegtables} if key.jpegtables else {}
    for data, index in _segments(page, parts, raw):
        segment, (sample, _, y, x, _), (_, deep, long, _) = key.decode(data, index, **tables)
        inside = key.nodata if segment is None else segment[0]  # None: a tile that was never written
        if y < top or x < left or y + deep > top + height or x + long > left + width:
            y0, x0, y1, x1 = max(y, top), max(x, left), min(y + deep, top + height), min(x + long, left + width)
            inside = inside if segment is None else inside[y0 - y : y1 - y, x0 - x : x1 - x]
            y, x, deep, long = y0, x0, y1 - y0, x1 - x0
        out[sample, y - top : y - top + deep, x - left : x - left + long] = inside
    if key.axes == "SYX":
        return out[..., 0]
    return out[0] if key.axes == "YXS" else out[0, ..., 0]


def _segments(page: Any, parts: list[int], raw: bytes | str) -> Iterator[tuple[Any, int]]:
    """The compressed bytes of these parts of a page, or None, with their numbers: of bytes no copy is made."""
    offsets, counts = [page.dataoffsets[i] for i in parts], [page.databytecounts[i] for i in parts]
    if isinstance(raw, str):
        for data, place in page.parent.filehandle.read_segments(offsets, counts):
            yield data, parts[place]
        return
    whole = memoryview(raw)
    for index, at, count in zip(parts, offsets, counts, strict=True):
        yield (whole[at : at + count] if count else None), index
