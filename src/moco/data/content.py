"""What a file holds, told from its first bytes: so that a bad file is called what it is."""

from __future__ import annotations

import zlib

from moco.data.camera import is_camera_raw
from moco.data.formats import BEYOND, INSTALL

_KINDS = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\1\0", "ICO"),
    (b"\x93NUMPY", "NumPy"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
)
_BRANDS = {"heic": "HEIC", "heix": "HEIC", "hevc": "HEIC", "mif1": "HEIC", "msf1": "HEIC"} | {
    "avif": "AVIF",
    "avis": "AVIF",
}
"""What the brands of an ISO media file stand for; others are video."""


def kind_of(raw: bytes) -> str | None:
    """The format that the first bytes announce, if it is one that is read."""
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "WebP"
    if raw[:1] == b"P" and raw[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6"):
        return "PPM"
    if is_camera_raw(raw):
        return "camera RAW"
    if raw[4:8] == b"ftyp":
        brands = [raw[at : at + 4].decode("latin-1") for at in (8, *range(16, int.from_bytes(raw[:4], "big"), 4))]
        return next((_BRANDS[brand] for brand in sorted(brands, key=lambda b: b == "mif1") if brand in _BRANDS), None)
    if raw[128:132] == b"DICM":
        return "DICOM"
    if _is_nifti(raw):
        return "NIfTI"
    return next((kind for start, kind in _KINDS if raw.startswith(start)), None)


def _is_nifti(raw: bytes) -> bool:
    """The magic of a NIfTI-1 or -2 in one file, gzipped or not."""
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw[:4096], 348)
        except zlib.error:
            return False
    return raw[344:348] == b"n+1\0" or raw[4:12] == b"n+2\0\r\n\x1a\n"


def is_readable_start(start: bytes) -> bool:
    """Whether a file that begins so is of a format that is read here."""
    return kind_of(start) is not None and not_an_image(start) is None and not _is_text(start)


def not_an_image(raw: bytes) -> str | None:
    """Why these bytes cannot be an image that is read, or None if they may be one."""
    if not raw:
        return "no bytes"
    if kind := kind_of(raw):
        missing = not all(one.read for one in BEYOND if one.name == kind)
        return f"{kind}: {INSTALL} reads it" if missing else None
    start = raw[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not raw.strip(b"\0"):
        return "nothing but zeros"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page, not an image"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the image: run `git lfs pull`"
    if start.startswith((b"<svg", b"<?xml")):
        return "SVG or other XML, not pixels"
    if raw[4:8] == b"ftyp":
        return "a video, not an image"
    if start.startswith(b"%pdf"):
        return "a PDF, not an image"
    if _is_text(raw[:512]):
        return "text, not an image"
    return None


def _is_text(start: bytes) -> bool:
    """Printable throughout? A character cut at the end of the sample does not count."""
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4 or len(start) < 512:
            return False
        text = start[: error.start].decode("utf-8")
    return all(c.isprintable() or c in "\t\r\n\f" for c in text)
