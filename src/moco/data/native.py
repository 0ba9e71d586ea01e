"""What a file holds, as it holds it: any number of bands, any depth, any page; not made to look like a photograph."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from moco.data.content import kind_of, not_an_image
from moco.data.formats import INSTALL, has
from moco.data.jpeg2000 import Jpeg2000, Size, size_of
from moco.data.numpy_file import NumpyFile
from moco.data.opened import Opened
from moco.data.pillow_file import open_picture, open_pillow, orientation
from moco.data.plain import check_sides, plain_errors, plain_reasons
from moco.data.source import Unreadable
from moco.data.tiff_plain import open_plain
from moco.data.values import Facts, Native, Values, kept, on_white, turned, type_of
from moco.recipe.pixels import Type

BEYOND_PILLOW = ("JPEG XL", "DICOM", "NIfTI", "NumPy", "camera RAW")
"""What Pillow does not read with any package."""


def open_native(raw: Any) -> Native:
    """Read the header of any file, or take an array H x W or H x W x C, or what was opened; raises Unreadable."""
    if isinstance(raw, np.ndarray):
        return _Array(raw)
    if not isinstance(raw, bytes):
        opened: Native = raw
        return opened
    kind = kind_of(raw)
    if kind == "TIFF" and has("tifffile"):
        if (plain := open_plain(raw)) is not None:
            return plain
        from moco.data.tiff import Tiff

        return Tiff(raw)
    if kind in BEYOND_PILLOW and (reason := not_an_image(raw)):
        raise Unreadable(reason)
    if kind == "DICOM":
        from moco.data.dicom import Dicom

        return Dicom(raw)
    if kind == "NIfTI":
        from moco.data.nifti import Nifti

        return Nifti(raw)
    if kind == "NumPy":
        return NumpyFile(raw)
    if kind == "camera RAW":
        from moco.data.camera_raw import CameraRaw

        return CameraRaw(raw)
    if kind == "JPEG XL":
        return _JPEGXL(raw)
    if (size := beyond_8_bits(kind, raw)) is not None:
        return Jpeg2000(raw, size)
    if kind == "PNG" and raw[24:25] == b"\x10" and raw[25:26] in (b"\2", b"\4", b"\6") and has("imagecodecs"):
        return _DeepPNG(raw)
    return _Pillow(raw)


def beyond_8_bits(kind: str | None, raw: bytes) -> Size | None:
    """Of a JPEG 2000 that is no gray or RGB picture of 8 bits its size, where what reads it whole is there."""
    size = size_of(raw) if kind == "JPEG 2000" else None
    return None if size is None or size.plain or not has("imagecodecs") else size


class _Array:
    """Values that were never in a file."""

    def __init__(self, values: Values) -> None:
        self._values = values if values.ndim == 3 else values[..., None]
        height, width, bands = self._values.shape
        check_sides(width, height)
        self.facts = Facts(width, height, bands, type_of(values.dtype), colour=bands in (1, 3))
        self.pages = 1

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        return kept(self._values)


_BANDS = {"L": 1, "LA": 1, "La": 1, "1": 1, "F": 1}


class _Pillow:
    """A file that Pillow reads."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._opened: Opened = open_picture(raw)
        header = self._opened.header
        deep: Type = "uint16" if header.mode.startswith("I") else "float32" if header.mode == "F" else "uint8"
        bands = 1 if header.mode.startswith("I") else _BANDS.get(header.mode, 3)
        self.facts = Facts(header.width, header.height, bands, deep)

    @property
    def pages(self) -> int:
        if kind_of(self._raw) not in _ANIMATED:
            return 1
        with plain_reasons(self._raw):
            return int(getattr(open_pillow(self._raw), "n_frames", 1))

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        if page == 0 and self.facts.type == "uint8":
            pixels = self._opened.pixels(reduction)[0]
            return pixels if self.facts.bands == 3 else pixels[..., :1]
        with plain_reasons(self._raw):
            image: Image.Image = open_pillow(self._raw)
            image.seek(page)
            if self.facts.type == "uint8":
                flat = on_white(np.asarray(image.convert("RGBA")))
                return flat if self.facts.bands == 3 else flat[..., :1]
            values = np.asarray(image)[..., None]
            if values.dtype.kind == "i":  # 16 bits that Pillow hands out in 32
                if values.min() < 0 or values.max() > 65535:
                    raise Unreadable(f"values from {values.min()} to {values.max()}, which takes {INSTALL}")
                values = values.astype(np.uint16)
            return kept(values if image.format == "TIFF" else turned(values, orientation(image)))


_ANIMATED = ("GIF", "WebP", "TIFF")


class _DeepPNG:
    """A PNG of 16 bits in colour, or with opacity, of which Pillow would give 8."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        header = open_picture(raw).header
        self._bands = {2: 3, 4: 2, 6: 4}[raw[25]]
        self.facts = Facts(header.width, header.height, 3 if self._bands > 2 else 1, "uint16")
        self.pages = 1

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        import imagecodecs

        with plain_reasons(self._raw):
            values = imagecodecs.png_decode(self._raw)
            return on_white(values) if self._bands in (2, 4) else values


class _JPEGXL:
    """A JPEG XL: decoded when it is opened, as nothing here reads its header alone."""

    def __init__(self, raw: bytes) -> None:
        import imagecodecs

        with plain_errors("JPEG XL"):
            values = imagecodecs.jpegxl_decode(raw)
        values = values if values.ndim == 3 else values[..., None]
        check_sides(values.shape[1], values.shape[0])
        self._values = on_white(values) if values.shape[2] in (2, 4) else values
        height, width, bands = self._values.shape
        self.facts = Facts(width, height, bands, type_of(values.dtype), colour=bands in (1, 3))
        self.pages = 1

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        return kept(self._values)
