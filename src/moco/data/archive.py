"""Images in a zip or tar archive, read where they are and never unpacked.

The table of contents is read once; after that an image is one seek and one read. Each read opens the archive anew, a
few microseconds, as reading a folder would: so there is no handle that processes and threads could quarrel over.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np

from moco.data.names import first_folder, is_image, is_litter, no_images, number_of, printable, root_of, with_arrays
from moco.data.source import Hints, Unreadable
from moco.errors import MocoError

_LOCAL_HEADER = 30
"""Bytes before a zip member's name; the lengths of the name and of an extra field are in the last four."""

Member = tuple[str, int, int, int, int]
"""Name, offset, bytes in the archive, CRC-32, method: as the zip's table of contents has them; method -1: tar."""


class Archive:
    """The images of a .zip or .tar, sorted by their path inside; a first folder is the class."""

    hints = Hints()

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100
        shown = printable(os.fspath(path))
        list_members = tar_members if self.path.lower().endswith(".tar") else _zip_members
        found: dict[str, Member] = {}
        names, others = list[str](), list[str]()
        try:
            for member in list_members(self.path):
                if any(is_litter(part) for part in member[0].split("/")):
                    continue
                found[member[0]] = member
                (names if is_image(member[0]) else others).append(member[0])
        except FileNotFoundError:
            raise MocoError(f"--data {shown}: there is no such file; check the path") from None
        except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
            raise MocoError(
                f"--data {shown}: the archive is broken or cut short ({error}); copy or download it again"
            ) from None
        names, self.others = with_arrays(names, others)
        members = [found[name] for name in names]
        if not members:
            raise MocoError(f"--data {shown}: {no_images('this archive', len(self.others))}")
        members.sort()
        self.names = [member[0] for member in members]
        self._table = np.array([member[1:] for member in members], dtype=np.int64)
        self._top = root_of(self.names)
        self.description = f"archive {shown}, {number_of(len(members), 'image')}"

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """The path inside the archive."""
        return printable(self.names[i])

    def raw(self, i: int) -> bytes:
        """The member as it was packed; raises Unreadable."""
        offset, size, crc, method = (int(number) for number in self._table[i])
        try:
            with open(self.path, "rb") as file:  # noqa: PTH123
                file.seek(offset)
                if method == -1:
                    return _whole(file.read(size), size)
                header = _whole(file.read(_LOCAL_HEADER), _LOCAL_HEADER)
                if header[:4] != b"PK\3\4":
                    raise Unreadable("the archive has changed since it was opened, or is damaged")
                skip = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
                file.seek(skip, os.SEEK_CUR)
                data = _whole(file.read(size), size)
        except OSError as error:
            raise Unreadable(f"the archive cannot be read: {error.strerror or error}") from None
        try:
            data = zlib.decompress(data, -zlib.MAX_WBITS) if method == zipfile.ZIP_DEFLATED else data
        except zlib.error:
            raise Unreadable("damaged in the archive") from None
        if zlib.crc32(data) != crc:
            raise Unreadable("damaged in the archive (its checksum differs)")
        return data

    def label(self, i: int) -> str | None:
        """The first folder of the path that not all images share."""
        label = first_folder(self.names[i], self._top)
        return None if label is None else printable(label)


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise Unreadable("the archive ends before this image does")
    return data


def _zip_members(path: str) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            name = info.filename.replace("\\", "/")
            if is_image(name) and info.flag_bits & 1:
                raise MocoError(f"--data {path}: {name} is encrypted; unpack the archive and give the folder")
            if is_image(name) and info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise MocoError(
                    f"--data {path}: {name} is packed by a method other than store or deflate; "
                    "repack the archive as an ordinary zip, or give the unpacked folder"
                )
            yield name, info.header_offset, info.compress_size, info.CRC, info.compress_type


def tar_members(path: str) -> Iterator[Member]:
    """The files of an uncompressed tar, header by header; raises tarfile's errors where it is broken."""
    with tarfile.open(path, "r:") as archive:
        while (info := archive.next()) is not None:
            if info.isreg() and not info.issparse():
                yield info.name.removeprefix("./"), info.offset_data, info.size, 0, -1
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep each: 1 GB for a million
