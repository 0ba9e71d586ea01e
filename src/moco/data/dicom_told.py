"""What a DICOM says its stored values mean and how to show them: for the whole file, or frame by frame.

Enhanced multi-frame files keep it in functional groups (PS3.3, C.7.6.16), shared by all frames or of each frame.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from moco.data.values import Values, finite

_OF_FILE = (
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "BitsStored", "PixelRepresentation"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
)
_OF_FRAMES = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


def frames_told(tags: Any) -> list[Told]:
    """What is told of each frame; one for all, where they are told alike."""
    own = tags.get("PerFrameFunctionalGroupsSequence", None) or []
    if not any(group.get(name, None) for group in own for name in _OF_FRAMES):
        own = [Dataset()]
    shared = (tags.get("SharedFunctionalGroupsSequence", None) or [Dataset()])[0]
    return [Told(_merged(tags, shared, group)) for group in own]


def _merged(tags: Any, *groups: Any) -> Dataset:
    """The attributes of the file, and over them those of the groups."""
    told = Dataset()
    told.file_meta = tags.file_meta
    parts = [part for group in groups for name in _OF_FRAMES for part in (group.get(name, None) or [])[:1]]
    for part in (tags, *parts):
        for name in _OF_FILE:
            if part.get(name, None) is not None:
                told[name] = part[name]
    return told


@dataclass(frozen=True)
class Told:
    """What is told of one frame."""

    tags: Dataset

    @property
    def whole(self) -> bool:
        """Whether values are what is stored."""
        return not self.tags.get("ModalityLUTSequence", None) and self._slope == 1 and self._intercept == 0

    @property
    def _slope(self) -> float:
        return finite(self.tags.get("RescaleSlope", None)) or 1.0

    @property
    def _intercept(self) -> float:
        return finite(self.tags.get("RescaleIntercept", None)) or 0.0

    def meant(self, stored: Values) -> Values:
        """Stored values in the units of the modality (Hounsfield, ...), as they are or in real numbers."""
        if self.whole:
            return stored
        how = Dataset()
        if table := self.tags.get("ModalityLUTSequence", None):
            how.file_meta = self.tags.file_meta
            how.ModalityLUTSequence = [_deep(table[0])]
            return np.asarray(apply_modality_lut(_places(stored, table[0]), how)).astype(np.float32)
        how.RescaleSlope, how.RescaleIntercept = self._slope, self._intercept
        return np.asarray(apply_modality_lut(stored, how)).astype(np.float32)

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest value that may be stored, in these units."""
        bits = int(self.tags.get("BitsStored", 8))
        if table := self.tags.get("ModalityLUTSequence", None):
            return 0.0, float(2 ** int(table[0].LUTDescriptor[2]) - 1)
        least = -(2 ** (bits - 1)) if self.tags.get("PixelRepresentation", 0) else 0
        two = [self._slope * v + self._intercept for v in (least, least + 2**bits - 1)]
        return min(two), max(two)

    @property
    def line(self) -> tuple[float, float] | None:
        """What the first window shows as black and white (PS3.3, C.11.2.1.2), if it is a straight line."""
        if (window := self._window) is None or window[2] == "SIGMOID":
            return None
        centre, width, kind = window
        if kind == "LINEAR":
            centre, width = centre - 0.5, width - 1
        return (centre - width / 2, centre + width / 2) if width > 0 else None

    @property
    def curve(self) -> str:
        """By what else than a straight line it is to be shown, in words that are equal where it is; or nothing."""
        if table := self._table:
            entries, first, bits = _descriptor(table)
            mark = hashlib.sha256(repr((entries, first, bits)).encode() + _raw(table.LUTData)).hexdigest()[:6]
            return f"a table of {entries:,} values ({mark})"
        if (window := self._window) is not None and window[2] == "SIGMOID":
            return f"a sigmoid about {window[0]:g}, {window[1]:g} wide"
        return ""

    def shown(self, values: Values) -> Values:
        """Values in the units of the modality as shares from black to white: by the table, sigmoid or window.

        Without any, what may be stored is from black to white.
        """
        how = Dataset()
        how.file_meta = self.tags.file_meta
        how.PhotometricInterpretation, how.BitsStored, how.PixelRepresentation = "MONOCHROME2", 1, 0  # from 0 to 1
        if table := self._table:
            how.VOILUTSequence = [_deep(table)]
            white = np.float32(2 ** _descriptor(table)[2] - 1)
            return np.asarray(apply_voi_lut(_places(values, table), how) / white).astype(np.float32)
        if self.curve or self.line is not None:
            assert self._window is not None
            how.WindowCenter, how.WindowWidth, how.VOILUTFunction = self._window
            return np.asarray(apply_voi_lut(values, how)).astype(np.float32)
        least, most = self.ends
        return np.asarray(np.clip((values.astype(np.float32) - np.float32(least)) / np.float32(most - least), 0, 1))

    @property
    def _table(self) -> Any:
        """The first table, where it is whole."""
        table = (self.tags.get("VOILUTSequence", None) or [None])[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return table if table is not None and "LUTDescriptor" in table and "LUTData" in table else None

    @property
    def _window(self) -> tuple[float, float, str] | None:
        """Centre, width and shape of the first window, where it can be shown."""
        centre, width = (_first(self.tags.get(f"Window{part}", None)) for part in ("Center", "Width"))
        kind = str(self.tags.get("VOILUTFunction", None) or "LINEAR").upper()
        if centre is None or width is None or kind not in ("LINEAR", "LINEAR_EXACT", "SIGMOID") or not width > 0:
            return None
        return centre, width, kind


def _deep(table: Any) -> Dataset:
    """The same table said to be of 16 bits: pydicom counts places in the type of its entries, or knows no 12 bits."""
    deep = Dataset()
    deep.LUTDescriptor = [*_descriptor(table)[:2], 16]
    deep["LUTData"] = table["LUTData"]
    return deep


def _places(values: Values, table: Any) -> Values:
    """Values as whole numbers that the table has an entry for."""
    entries, first, _ = _descriptor(table)
    return np.asarray(np.rint(np.clip(values, first, first + entries - 1)).astype(np.int64))


def _descriptor(table: Any) -> tuple[int, int, int]:
    """How many entries, the value of the first, and their bits; 0 entries stand for 65,536."""
    entries, first, bits = (int(n) for n in table.LUTDescriptor)
    return entries % 2**16 or 2**16, first, bits


def _first(told: Any) -> float | None:
    """A number, or the first of several."""
    return finite(told[0] if isinstance(told, list | tuple | MultiValue) and told else told)


def _raw(data: Any) -> bytes:
    return data if isinstance(data, bytes) else np.asarray(data, np.int64).tobytes()
