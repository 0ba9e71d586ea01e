"""Which files are a camera's raw data: most of them look like a TIFF, and are told by its first directory."""

from __future__ import annotations

import struct

_STARTS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW")
"""Olympus, Panasonic, Fujifilm."""

_SUBFILE, _MAKE, _INNER, _DNG = 254, 271, 330, 50706
_MOST = 256
"""Entries of a directory that are looked at."""


def is_camera_raw(start: bytes) -> bool:
    """Whether a file that begins so holds what a sensor measured: CR2, CR3, DNG, NEF, ARW, PEF, SRW, ORF, RW2, RAF."""
    if start.startswith(_STARTS) or start[4:12] == b"ftypcrx " or (start[:4] == b"II*\0" and start[8:10] == b"CR"):
        return True
    if start[:4] not in (b"II*\0", b"MM\0*"):
        return False
    tags = _first_directory(start)
    thumbnail_first = tags.get(_SUBFILE) == 1 and {_MAKE, _INNER} <= tags.keys()  # as Nikon, Sony, Pentax, Samsung do
    return _DNG in tags or thumbnail_first


def _first_directory(start: bytes) -> dict[int, int]:
    """Tags of a TIFF's first directory, as far as these bytes go, with the 32 bits where short values stand."""
    order = "<" if start[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", start, 4) if len(start) >= 8 else (0,)
    if not 8 <= at <= len(start) - 2:
        return {}
    (count,) = struct.unpack_from(f"{order}H", start, at)
    whole = min(count, _MOST, (len(start) - at - 2) // 12)
    entries = struct.iter_unpack(f"{order}HHII", start[at + 2 : at + 2 + 12 * whole])
    shift = 16 if order == ">" else 0  # a short value lies in the first two of four bytes
    return {tag: value >> shift & 0xFFFF if kind == 3 else value for tag, kind, _, value in entries}
