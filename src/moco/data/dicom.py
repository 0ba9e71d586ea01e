"""DICOM: rescaled to the modality's own units, white where the file means white, each frame a page."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pydicom
from pydicom.multival import MultiValue
from pydicom.pixels import apply_color_lut, convert_color_space, pixel_array

from moco.data.plain import check_sides, plain_errors
from moco.data.source import Unreadable
from moco.data.values import Facts, Values, finite, kept

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
            self._slope = float(tags.get("RescaleSlope", None) or 1)
            self._intercept = float(tags.get("RescaleIntercept", None) or 0)
            self._white = 2 ** int(tags.get("BitsStored", 8)) - 1
            self.pages = int(tags.get("NumberOfFrames", None) or 1)
            signed, deep = bool(tags.get("PixelRepresentation", 0)), int(tags.get("BitsAllocated", 8)) > 8
            colour = int(tags.get("SamplesPerPixel", 1)) == 3 or self._seen == "PALETTE COLOR"
            whole = self._slope == 1 and self._intercept == 0
            self._plain = whole and not signed and self._white <= 65535
            kind = "uint16" if deep else "uint8"
            self.facts = Facts(
                int(tags.Columns),
                int(tags.Rows),
                3 if colour else 1,
                kind if self._plain else "float32",  # type: ignore[arg-type]
                white=float(self._white) if self._plain and deep else None,
                window=None if colour else self._window(),
                container="" if colour else "DICOM",
            )

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        """One frame, in the units of the modality (Hounsfield, ...); raises Unreadable."""
        check_sides(self.facts.width, self.facts.height)
        with plain_errors("DICOM"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = pydicom.dcmread(io.BytesIO(self._raw))
            if "PixelData" not in whole and "FloatPixelData" not in whole:
                hidden = "EncryptedAttributesSequence" in whole
                raise Unreadable("a DICOM whose pixels are encrypted" if hidden else "a DICOM without pixels")
            try:
                values = pixel_array(whole, index=page, raw=True)
            except (RuntimeError, NotImplementedError):
                name = whole.file_meta.TransferSyntaxUID.name
                raise Unreadable(f"a DICOM compressed as {name}, which nothing installed here decodes") from None
            return self._as_meant(values, whole)

    def _as_meant(self, values: Values, whole: Any) -> Values:
        if self._seen == "PALETTE COLOR":
            table = apply_color_lut(values, whole)
            return np.asarray(table >> 8 if table.dtype == np.uint16 else table).astype(np.uint8)
        if self._seen in _COLOURS:
            values = np.asarray(convert_color_space(values, self._seen, "RGB"))
        values = values if values.ndim == 3 else values[..., None]
        if not self._plain:
            values = values.astype(np.float32) * np.float32(self._slope) + np.float32(self._intercept)
        if self._seen == "MONOCHROME1":
            values = self._inverted(values)
        return kept(values)

    def _inverted(self, values: Values) -> Values:
        """White for the least value: about the middle of what may be stored."""
        if self._plain:
            return np.asarray(self._white - values).astype(values.dtype)
        return np.asarray(np.float32(self._ends()) - values)

    def _ends(self) -> float:
        """The least and the largest value that may be stored, added."""
        if self._plain:
            return float(self._white)
        least = -(self._white + 1) // 2 if self._set.get("PixelRepresentation", 0) else 0
        return sum(self._slope * (least + end) + self._intercept for end in (0, self._white))

    def _window(self) -> tuple[float, float] | None:
        """What the first window shows as black and white (PS3.3, C.11.2.1.2), if it is a straight line."""
        centre, width = (_first(self._set.get(f"Window{part}", None)) for part in ("Center", "Width"))
        kind = str(self._set.get("VOILUTFunction", None) or "LINEAR")
        if centre is None or width is None or kind not in ("LINEAR", "LINEAR_EXACT"):
            return None
        if kind == "LINEAR":
            centre, width = centre - 0.5, width - 1
        if not width > 0:
            return None
        black, white = centre - width / 2, centre + width / 2
        return (self._ends() - white, self._ends() - black) if self._seen == "MONOCHROME1" else (black, white)


def _first(told: Any) -> float | None:
    """A number, or the first of several."""
    return finite(told[0] if isinstance(told, list | tuple | MultiValue) and told else told)
