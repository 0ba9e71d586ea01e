"""JPEG 2000 of more than 8 bits or other bands than gray and RGB, which Pillow would cut down to a photograph."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from moco.data.plain import check_sides, plain_errors
from moco.data.source import Unreadable
from moco.data.values import Facts, Values, kept, on_white
from moco.recipe.pixels import Type

_CODESTREAM = b"\xff\x4f\xff\x51"


@dataclass(frozen=True)
class Size:
    """What the codestream's first marker says (ISO/IEC 15444-1, A.5.1), and whether one component is opacity."""

    width: int
    height: int
    bits: int
    signed: bool
    bands: int
    """Opacity not counted."""
    opacity: bool

    @property
    def plain(self) -> bool:
        """Whether it is a picture of 8 bits."""
        return self.bits <= 8 and not self.signed and self.bands in (1, 3)


def size_of(raw: bytes) -> Size | None:
    """The size of a JPEG 2000 file or codestream; None where it is cut short, or its bands are of several sizes."""
    at = raw.find(_CODESTREAM)
    if at < 0 or len(raw) < at + 45:
        return None
    right, below, left, top = struct.unpack_from(">4I", raw, at + 8)
    (bands,) = struct.unpack_from(">H", raw, at + 40)
    each = raw[at + 42 : at + 42 + 3 * bands]
    if len(each) < 3 * bands or {*each[1::3], *each[2::3]} != {1}:
        return None
    depths = each[0::3]
    opacity = bands in (2, 4) and b"cdef" in raw[:at]
    bits = max(depth & 0x7F for depth in depths) + 1
    return Size(right - left, below - top, bits, any(depth >> 7 for depth in depths), bands - opacity, opacity)


class Jpeg2000:
    """Read by imagecodecs, whole."""

    def __init__(self, raw: bytes, size: Size) -> None:
        check_sides(size.width, size.height)
        if size.bits > 16:
            raise Unreadable(f"a JPEG 2000 of {size.bits} bits; up to 16 are read")
        deep: Type = "int16" if size.signed else "uint16" if size.bits > 8 else "uint8"
        told = float(2**size.bits - 1) if 8 < size.bits < 16 and not size.signed else None
        self._raw, self._size = raw, size
        self.facts = Facts(size.width, size.height, size.bands, deep, colour=size.bands in (1, 3), white=told)
        self.pages = 1

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        """In the type that its bits need; raises Unreadable."""
        import imagecodecs

        with plain_errors("JPEG 2000"):
            values = imagecodecs.jpeg2k_decode(self._raw)
        values = values if values.ndim == 3 else values[..., None]
        return kept(on_white(values) if self._size.opacity else values)
