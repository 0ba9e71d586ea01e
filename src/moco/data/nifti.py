"""NIfTI volumes: each slice across the last axis of space, of each time, is a page."""

from __future__ import annotations

import gzip
from typing import Any

import nibabel
import numpy as np

from moco.data.plain import check_sides, plain_errors
from moco.data.values import Facts, Values, kept, type_of


class Nifti:
    """The slices of one NIfTI-1 or NIfTI-2 file, gzipped or not; up is up as the volume is stored."""

    def __init__(self, raw: bytes) -> None:
        with plain_errors("NIfTI"):
            plain = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
            kind = (
                nibabel.Nifti2Image if int.from_bytes(plain[:4], "little") in (540, 469893120) else nibabel.Nifti1Image
            )
            self._image: Any = kind.from_bytes(plain)
            width, height, *self._deep = self._image.shape
            self.pages = int(np.prod(self._deep, dtype=np.int64)) if self._deep else 1
            whole = self._whole = (self._image.dataobj.slope, self._image.dataobj.inter) == (1.0, 0.0)
            dtype = self._image.header.get_data_dtype()
            self.facts = Facts(int(width), int(height), 1, type_of(dtype) if whole else "float32", container="NIfTI")

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        """One slice, in the units that the header scales to; raises Unreadable."""
        check_sides(self.facts.width, self.facts.height)
        with plain_errors("NIfTI"):
            data = self._image.dataobj
            place = [int(i) for i in np.unravel_index(page, self._deep, order="F")] if self._deep else []
            where = (slice(None), slice(None), *place)
            values = np.asarray((data.get_unscaled() if self._whole else data)[where])  # decodes no more than that
            return kept(np.ascontiguousarray(values.T)[::-1, :, None])
