"""What a file holds, told from its first bytes: so that a bad file is called what it is."""

from __future__ import annotations

_KINDS = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
)


def kind_of(raw: bytes) -> str | None:
    """The format that the first bytes announce, if it is one that is read."""
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "WebP"
    if raw[:1] == b"P" and raw[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6"):
        return "PPM"
    return next((kind for start, kind in _KINDS if raw.startswith(start)), None)


def not_an_image(raw: bytes) -> str | None:
    """Why these bytes cannot be an image that is read, or None if they may be one."""
    if not raw:
        return "no bytes"
    if kind_of(raw):
        return None
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
        return "HEIC, AVIF or video: convert it to JPEG or PNG"
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
