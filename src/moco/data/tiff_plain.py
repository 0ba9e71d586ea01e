"""TIFF in its simplest form: one image whose values lie in the file as they are, told by its one directory.

Tiles of satellites are often written so, and small: then nearly all of the time that reading takes goes to what a
directory may say besides. Where it says anything that is not known here, `tiff` reads the file.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from moco.data.plain import check_sides
from moco.data.values import Facts, Values, finite, kept, type_of

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION = 256, 257, 258, 259, 262, 270
_OFFSETS, _SAMPLES, _COUNTS, _PLANAR, _SOFTWARE, _FORMAT = 273, 277, 279, 284, 305, 339
_GEO_KEYS, _NO_DATA = 34735, 42113
_ONLY = {254: 0, _COMPRESSION: 1, 266: 1, 274: 1, 338: 0}
"""Tags that say something else than the simplest where they have another value: orientation, kinds of bands, ..."""

_WITHOUT_WEIGHT = {278, 282, 283, 296, 306, 33550, 33922, 34264, 34736, 34737, 42112}
"""Resolution, date, where on earth: what is no matter here."""

_KNOWN = {_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _DESCRIPTION, _OFFSETS, _SAMPLES, _COUNTS, _PLANAR, _SOFTWARE, _FORMAT}
_TAGS = _KNOWN | {_GEO_KEYS, _NO_DATA} | _ONLY.keys() | _WITHOUT_WEIGHT
_NUMBERS = {3: "H", 4: "I"}
_TEXT, _MOST = 2, 64
_TYPES = {(1, 8 * n): f"u{n}" for n in (1, 2, 4)} | {(2, 8 * n): f"i{n}" for n in (1, 2, 4)}
_TYPES |= {(3, 8 * n): f"f{n}" for n in (2, 4, 8)}
"""Of each sample format (unsigned, with a sign, real) and number of bits, NumPy's name."""


def open_plain(raw: bytes) -> PlainTiff | None:
    """The image, where the file is of this form; None where it is not, or is not whole."""
    try:
        tags = _directory(raw)
        return None if tags is None else _image(raw, tags)
    except (struct.error, KeyError, IndexError, UnicodeDecodeError):
        return None


class PlainTiff:
    """One image whose values lie one behind the other; they are not copied, and cannot be written to."""

    pages = 1

    def __init__(self, facts: Facts, values: Values) -> None:
        self.facts, self._values = facts, values

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        """The values; raises Unreadable where a side is too short or too long."""
        check_sides(self.facts.width, self.facts.height)
        return kept(self._values)

    def window(self, page: int, box: tuple[int, int, int, int]) -> Values:
        """A box (top, left, height, width)."""
        top, left, height, width = box
        return kept(self._values[top : top + height, left : left + width])


def _image(raw: bytes, tags: dict[int, Any]) -> PlainTiff | None:
    """The image that these tags tell of; None where they tell of another form."""
    width, height, bands = tags[_WIDTH][0], tags[_HEIGHT][0], tags.get(_SAMPLES, (1,))[0]
    photometric, separate = tags[_PHOTOMETRIC][0], tags.get(_PLANAR, (1,))[0] == 2
    bits, formats = set(tags[_BITS]), set(tags.get(_FORMAT, (1,)))
    if photometric not in (1, 2) or len(bits) != 1 or len(formats) != 1:
        return None
    if not (min(width, height, bands) and _says_nothing_else(tags, (height, width), bands)):
        return None
    stored = _TYPES.get((formats.pop(), bits.pop()))
    offsets, counts = tags[_OFFSETS], tags[_COUNTS]
    if stored is None or len(offsets) != len(counts):
        return None
    dtype, total = np.dtype(("<" if raw[:2] == b"II" else ">") + stored), width * height * bands
    together = all(at + n == then for at, n, then in zip(offsets, counts, offsets[1:], strict=False))
    if not together or sum(counts) != total * dtype.itemsize or offsets[0] + sum(counts) > len(raw):
        return None
    flat = np.frombuffer(raw, dtype, total, offsets[0])
    values = flat.reshape(bands, height, width).transpose(1, 2, 0) if separate else flat.reshape(height, width, bands)
    colour = bands == 1 or (photometric == 2 and bands == 3)
    no_data = finite(tags[_NO_DATA]) if _NO_DATA in tags else None
    facts = Facts(
        width,
        height,
        bands,
        type_of(dtype),
        colour=colour,
        rgb_first=photometric == 2 and bands > 3,
        no_data=no_data,
        container="GeoTIFF" if _GEO_KEYS in tags else "",
    )
    return PlainTiff(facts, values)


def _directory(raw: bytes) -> dict[int, Any] | None:
    """The tags of the one directory of a classic TIFF with numbers or text; None where there is another, or more."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(raw[:4])
    if order is None:
        return None
    (at,) = struct.unpack_from(f"{order}I", raw, 4)
    (count,) = struct.unpack_from(f"{order}H", raw, at)
    if count > _MOST or struct.unpack_from(f"{order}I", raw, at + 2 + 12 * count) != (0,):
        return None
    tags: dict[int, Any] = {}
    entries = struct.iter_unpack(f"{order}HHI4s", raw[at + 2 : at + 2 + 12 * count])
    for place, (tag, kind, number, inline) in enumerate(entries):
        if tag not in _TAGS or tag in tags:
            return None
        if tag in _WITHOUT_WEIGHT or tag == _GEO_KEYS:
            tags[tag] = None
            continue
        size = number * {_TEXT: 1, 3: 2, 4: 4}[kind]
        own = at + 2 + 12 * place + 8 if size <= 4 else struct.unpack(f"{order}I", inline)[0]
        if own + size > len(raw):
            return None
        if kind == _TEXT:
            tags[tag] = raw[own : own + size].rstrip(b"\0").decode("ascii")
        else:
            tags[tag] = struct.unpack_from(f"{order}{number}{_NUMBERS[kind]}", raw, own)
            if (only := _ONLY.get(tag)) is not None and set(tags[tag]) != {only}:
                return None
    return tags


def _says_nothing_else(tags: dict[int, Any], size: tuple[int, int], bands: int) -> bool:
    """Whether what the tags say in words is what they say in the simplest form."""
    if not tags.get(_SOFTWARE, "tifffile.py").startswith("tifffile.py"):  # others may mean more than one image by it
        return False
    shapes = [size, (*size, bands), (bands, *size)]
    return tags.get(_DESCRIPTION, "") in {"", *(f'{{"shape": [{", ".join(map(str, one))}]}}' for one in shapes)}
