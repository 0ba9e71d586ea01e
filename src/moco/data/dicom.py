"""DICOM: rescaled to the modality's own units, white where the file means white, each frame a page."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, convert_color_space, pixel_array

from moco.data.dicom_told import Told, frames_told
from moco.data.formats import INSTALL, has
from moco.data.plain import check_sides, plain_errors
from moco.data.source import Unreadable
from moco.data.values import Facts, Values, kept

_ENCRYPTED = "a DICOM whose pixels are encrypted: it can be read once whoever has the key has decrypted it"
_COLOURS = ("YBR_FULL", "YBR_FULL_422")


class Dicom:
    """The pixels of one DICOM file."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        with plain_errors("DICOM"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._set: Any = pydicom.dcmread(io.BytesIO(raw), stop_before_pixels=True)
            tags = self._set
            if "Rows" not in tags or "Columns" not in tags:
                raise Unreadable("a DICOM without pixels")
            self._seen = str(tags.get("PhotometricInterpretation", "MONOCHROME2"))
            self._white = 2 ** int(tags.get("BitsStored", 8)) - 1
            self.pages = int(tags.get("NumberOfFrames", None) or 1)
            self._told = frames_told(tags)
            signed, deep = bool(tags.get("PixelRepresentation", 0)), int(tags.get("BitsAllocated", 8)) > 8
            colour = int(tags.get("SamplesPerPixel", 1)) == 3 or self._seen == "PALETTE COLOR"
            self._plain = all(one.whole for one in self._told) and not signed and self._white <= 65535
            kind = "uint16" if deep else "uint8"
            windows = {None if colour else self._window(one) for one in self._told}
            lines = [window for window in windows if window is not None]
            curves = {"" if colour else one.curve for one in self._told}
            self.facts = Facts(
                int(tags.Columns),
                int(tags.Rows),
                3 if colour else 1,
                kind if self._plain else "float32",  # type: ignore[arg-type]
                white=float(self._white) if self._plain and deep else None,
                window=tuple(np.median(lines, axis=0).tolist()) if lines else None,
                curve=curves.pop() if len(curves) == 1 else "a curve for each frame",
                own_windows=len(windows) > 1,
                container="" if colour else "DICOM",
            )

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        """One frame, in the units of the modality (Hounsfield, ...); raises Unreadable."""
        check_sides(self.facts.width, self.facts.height)
        with plain_errors("DICOM"), warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            whole = pydicom.dcmread(io.BytesIO(self._raw))
            if "PixelData" not in whole and "FloatPixelData" not in whole:
                if any(str(one.message).startswith("End of file reached") for one in heard):
                    raise Unreadable("truncated DICOM")  # pydicom drops pixels without an end, and says so
                hidden = "EncryptedAttributesSequence" in whole
                raise Unreadable(_ENCRYPTED if hidden else "a DICOM without pixels")
            return self._as_meant(_stored(whole, page), whole, page)

    def shown(self, page: int = 0) -> Values:
        """One frame as the file says to show it: shares, float32, from black to white; raises Unreadable."""
        values = self.values(page)
        if self.facts.bands == 3:
            most = 255 if values.dtype == np.uint8 else self._white
            return np.minimum(values / np.float32(most), 1).astype(np.float32)
        told = self._frame(page)
        turned = self._seen == "MONOCHROME1"
        with plain_errors("DICOM"):
            shares = told.shown(self._turned_round(values, told) if turned else values)
        return np.asarray(1 - shares if turned else shares)

    def _frame(self, page: int) -> Told:
        return self._told[page if page < len(self._told) > 1 else 0]

    def _as_meant(self, values: Values, whole: Any, page: int) -> Values:
        if self._seen == "PALETTE COLOR":
            table = apply_color_lut(values, whole)
            return np.asarray(table >> 8 if table.dtype == np.uint16 else table).astype(np.uint8)
        if self._seen in _COLOURS:
            values = np.asarray(convert_color_space(values, self._seen, "RGB"))
        values = values if values.ndim == 3 else values[..., None]
        told = self._frame(page)
        values = told.meant(values) if self._plain else told.meant(values).astype(np.float32)
        return kept(self._turned_round(values, told) if self._seen == "MONOCHROME1" else values)

    def _turned_round(self, values: Values, told: Told) -> Values:
        """White for the least value: about the middle of what may be stored."""
        return np.asarray(np.asarray(sum(told.ends)).astype(values.dtype) - values)

    def _window(self, told: Told) -> tuple[float, float] | None:
        """What the window of a frame shows as black and white, if it is a straight line."""
        if (line := told.line) is None or self._seen != "MONOCHROME1":
            return line
        return sum(told.ends) - line[1], sum(told.ends) - line[0]


def _stored(whole: Any, page: int) -> Values:
    """A frame as it is stored, by what pydicom finds installed, or by imagecodecs; raises Unreadable."""
    try:
        return np.asarray(pixel_array(whole, index=page, raw=True))
    except (RuntimeError, NotImplementedError):
        if has("imagecodecs"):
            from moco.data.dicom_jpeg import frame_of

            if (values := frame_of(whole, page)) is not None:
                return values
        name = whole.file_meta.TransferSyntaxUID.name
        raise Unreadable(f"a DICOM compressed as {name}{_help(name)}") from None


def _help(name: str) -> str:
    """Why nothing decodes a transfer syntax of this name, and what to install."""
    if not has("imagecodecs"):
        return f": {INSTALL} reads it"
    if not name.startswith(("JPEG", "High-Throughput JPEG")):
        return ", which is not read"
    return ", damaged or of a rare kind: pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg may read it"
