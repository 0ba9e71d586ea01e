"""From an encoded file to pixels: H x W x 3, 8 bits, the right way up; or Unreadable, and why.

Every image comes out as a person would see it: EXIF orientation is applied, transparency becomes white, 16 bits are
scaled and not cut off, of an animation the first frame is taken. A file that ends early is refused: its grey lower half
would be learnt.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moco.data.content import kind_of, not_an_image
from moco.data.native import BEYOND_PILLOW, beyond_8_bits, open_native
from moco.data.opened import Header, Opened
from moco.data.pillow_file import open_picture
from moco.data.pixels import deep_to_8_bits, to_8_bits, to_rgb
from moco.data.source import Unreadable
from moco.data.values import Native, Values


def decode(raw: bytes | NDArray[np.uint8] | Opened) -> NDArray[np.uint8]:
    """The pixels, H x W x 3, RGB, upright; raises Unreadable."""
    return open_image(raw).pixels()[0]


def header_size(raw: bytes | NDArray[np.uint8] | Opened) -> tuple[int, int]:
    """Width and height of the upright image, without decoding it; raises Unreadable."""
    header = open_image(raw).header
    return header.width, header.height


def read(raw: bytes | NDArray[np.uint8] | Opened) -> tuple[Header, NDArray[np.uint8]]:
    """The header and the pixels in one go; raises Unreadable."""
    opened = open_image(raw)
    return opened.header, opened.pixels()[0]


def _beyond_pillow(raw: bytes) -> Opened:
    """An image of one of these formats, seen as a picture; raises Unreadable."""
    if reason := not_an_image(raw):
        raise Unreadable(reason)
    return as_photograph(open_native(raw))


def open_image(raw: bytes | NDArray[np.uint8] | Opened) -> Opened:
    """Read the header, where that was not done; raises Unreadable."""
    match raw:
        case bytes():
            kind = kind_of(raw)
            beyond = kind in BEYOND_PILLOW or beyond_8_bits(kind, raw) is not None
            return _beyond_pillow(raw) if beyond else open_picture(raw)
        case np.ndarray():
            return open_picture(raw)
        case _:
            return raw


def as_photograph(image: Native) -> Opened:
    """Any file as an RGB picture of 8 bits, by its own range where it is deeper; for data sets of photographs."""
    return _Photograph(image)


class _Photograph:
    def __init__(self, image: Native) -> None:
        self._image, facts = image, image.facts
        if not facts.colour:
            raise Unreadable(f"{facts.bands} bands are no photograph; --bands chooses those to see")
        gray = {"uint8": "L", "uint16": "I;16"}.get(facts.type, "F")
        self.header = Header(facts.width, facts.height, "RGB" if facts.bands == 3 else gray)

    def pixels(self, reduction: int = 1) -> tuple[Values, int]:
        values = self._image.values()
        white = self._image.facts.white
        if values.dtype == np.uint16 and white is not None and values.max() <= white:
            values = to_8_bits(values, 0, white)
        elif values.dtype != np.uint8:
            values = deep_to_8_bits(np.nan_to_num(values))
        return to_rgb(values), 1
