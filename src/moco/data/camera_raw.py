"""A camera's raw data, developed the same way in every image: the camera's white balance, sRGB, no brightening."""

from __future__ import annotations

import io
from typing import Any

import rawpy

from moco.data.plain import check_sides, plain_errors
from moco.data.values import Facts, Values

_SRGB = (2.4, 12.92)
_ON_ITS_SIDE = (5, 6)


class CameraRaw:
    """RGB of 16 bits; white is where the sensor is full."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        with plain_errors("camera RAW"), self._open() as opened:
            sizes = opened.sizes
            width, height = sizes.width, sizes.height
            if sizes.flip in _ON_ITS_SIDE:
                width, height = height, width
        check_sides(width, height)
        self.facts = Facts(width, height, 3, "uint16", white=65535.0)
        self.pages = 1

    def _open(self) -> Any:
        return rawpy.imread(io.BytesIO(self._raw))

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        """Developed in full; raises Unreadable."""
        with plain_errors("camera RAW"), self._open() as opened:
            developed: Values = opened.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16, gamma=_SRGB)
            return developed
