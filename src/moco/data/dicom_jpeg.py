"""Frames of a DICOM in compressions that pydicom alone does not decode: lossless and 12-bit JPEG, JPEG-LS, HTJ2K."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.encaps import get_frame

from moco.data.values import Values

Decode = Callable[[bytes], Any]

_DECODE: dict[str, Decode] = {
    uid.JPEGExtended12Bit: partial(imagecodecs.jpeg_decode, bitspersample=12),
    uid.JPEGLossless: imagecodecs.jpegsof3_decode,
    uid.JPEGLosslessSV1: imagecodecs.jpegsof3_decode,
    uid.JPEGLSLossless: imagecodecs.jpegls_decode,
    uid.JPEGLSNearLossless: imagecodecs.jpegls_decode,
    uid.JPEG2000Lossless: imagecodecs.jpeg2k_decode,
    uid.JPEG2000: imagecodecs.jpeg2k_decode,
    uid.HTJ2KLossless: imagecodecs.jpeg2k_decode,
    uid.HTJ2KLosslessRPCL: imagecodecs.jpeg2k_decode,
    uid.HTJ2K: imagecodecs.jpeg2k_decode,
}
"""What decodes a frame of each transfer syntax (PS3.5, A.4)."""


def frame_of(whole: Any, page: int) -> Values | None:
    """One frame as it is stored, H x W or H x W x 3; None where nothing decodes it, or it is not of its file's size."""
    decode = _DECODE.get(whole.file_meta.TransferSyntaxUID)
    if decode is None:
        return None
    frame = get_frame(whole.PixelData, page, number_of_frames=int(whole.get("NumberOfFrames", None) or 1))
    try:
        values = np.asarray(decode(frame))
    except (RuntimeError, ValueError):  # a codec's own errors are of the first kind
        return None
    if values.shape[:2] != (whole.Rows, whole.Columns) or values.shape[2:] not in ((), (whole.SamplesPerPixel,)):
        return None
    return _with_sign(values, int(whole.BitsStored)) if whole.PixelRepresentation else values


def _with_sign(values: Values, bits: int) -> Values:
    """Whole numbers whose first bit of so many is their sign."""
    if values.dtype.kind == "i":
        return values
    room = 8 * values.dtype.itemsize
    as_signed = (values << (room - bits)).view(f"i{values.dtype.itemsize}")
    return np.asarray(as_signed >> (room - bits))
