"""One image in a .npy file: H x W, H x W x C or C x H x W, of any bands and any real numbers."""

from __future__ import annotations

import io

import numpy as np

from moco.data.plain import check_sides, plain_errors
from moco.data.source import Unreadable
from moco.data.values import Facts, Values, kept, type_of


class NumpyFile:
    """Read by NumPy, without the objects of Python that such a file may hold."""

    def __init__(self, raw: bytes) -> None:
        with plain_errors("NumPy"):
            file = io.BytesIO(raw)
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
        if len(shape) not in (2, 3):
            raise Unreadable(
                f"an array of shape {' x '.join(map(str, shape))}: an image is H x W, H x W x C or C x H x W"
            )
        self._raw, self._bands_first = raw, len(shape) == 3 and shape[0] < min(shape[1:])
        height, width, bands = (*shape[1:], shape[0]) if self._bands_first else (*shape, 1)[:3]
        check_sides(int(width), int(height))
        self.facts = Facts(int(width), int(height), int(bands), type_of(dtype), colour=bands in (1, 3))
        self.pages = 1

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        """The array, bands last; raises Unreadable."""
        with plain_errors("NumPy"):
            values = np.load(io.BytesIO(self._raw), allow_pickle=False)
        values = values.transpose(1, 2, 0) if self._bands_first else values
        return kept(values if values.ndim == 3 else values[..., None])
