"""A list of images: a text file of paths, or a table (CSV, TSV) with a column of paths."""

from __future__ import annotations

import csv
import io
import os
from typing import Any

from moco.data.large import opened_or_bytes
from moco.data.names import is_image, number_of, printable
from moco.data.source import Hints, file_bytes
from moco.errors import MocoError

PATH_COLUMNS = ("path", "file", "filename", "image")
CLASS_COLUMNS = ("label", "class")


class Listing:
    """The images that a list names, in its order; paths are relative to the list's folder."""

    hints = Hints()

    def __init__(self, path: str | os.PathLike[str]) -> None:
        shown = printable(os.fspath(path))
        self.folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
        try:
            text = file_text(path)
        except OSError as error:
            raise MocoError(f"--data {shown}: the list cannot be read ({error.strerror}); check the path") from None
        suffix = os.path.splitext(os.fspath(path))[1].lower()  # noqa: PTH122
        self.names, self.labels = _lines(text) if suffix == ".txt" else _rows(text, shown, suffix)
        if not self.names:
            raise MocoError(f"--data {shown}: the list names no image; write one path a line")
        self._refuse_if_nothing_is_there(shown)
        self.description = f"list {shown}, {number_of(len(self.names), 'image')}"

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """The path as the list has it."""
        return printable(self.names[i])

    def raw(self, i: int) -> bytes:
        """The file as it is; raises Unreadable where there is none."""
        return file_bytes(self.file_path(i))

    def native(self, i: int) -> Any:
        """The file, or where it is a large TIFF, the file opened, so that it need not be held whole."""
        return opened_or_bytes(self.file_path(i))

    def label(self, i: int) -> str | None:
        """What the column of classes says."""
        return self.labels[i] or None if self.labels else None

    def file_path(self, i: int) -> str:
        """Where the file is."""
        return os.path.join(self.folder, self.names[i])  # noqa: PTH118

    def _refuse_if_nothing_is_there(self, shown: str) -> None:
        """A list with gaps is read; a list whose paths all lead nowhere starts from the wrong folder."""
        sample = range(0, len(self.names), max(1, len(self.names) // 100))
        if not any(os.path.exists(self.file_path(i)) for i in sample):  # noqa: PTH110
            raise MocoError(
                f"--data {shown}: none of the files it lists is there, such as {printable(self.file_path(0))}; "
                "paths are relative to the folder of the list, or absolute"
            )


def file_text(path: str | os.PathLike[str]) -> str:
    """The text of a file in UTF-8, with or without byte order mark; other bytes stay what they are in a path.

    Raises MocoError for UTF-16, which spreadsheets write.
    """
    with open(path, "rb") as file:  # noqa: PTH123
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise MocoError(f"{printable(os.fspath(path))} is in UTF-16; save it as UTF-8")
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:  # noqa: PTH123
        return file.read()


def _lines(text: str) -> tuple[list[str], list[str]]:
    lines = (line.strip() for line in text.replace("\r", "\n").split("\n"))
    return [line for line in lines if line and not line.startswith("#")], []


def table_of(text: str, shown: str, suffix: str) -> list[list[str]]:
    """The rows of a .csv or .tsv that are not empty; raises MocoError where it is no table."""
    reader = csv.reader(io.StringIO(text), delimiter="\t" if suffix == ".tsv" else ",", strict=True)
    before = csv.field_size_limit(len(text) + 1)  # a caption may be longer than what it allows by itself
    try:
        return [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise MocoError(
            f"--data {shown}: this is not a table (line {reader.line_num:,}: {error}); put quotes around cells with "
            'commas, and write "" for a quote within them'
        ) from None
    finally:
        csv.field_size_limit(before)


def _rows(text: str, shown: str, suffix: str) -> tuple[list[str], list[str]]:
    """The columns of paths and of classes; no classes where there is no such column."""
    rows = table_of(text, shown, suffix)
    if not rows:
        return [], []
    header = [cell.strip().lower() for cell in rows[0]]
    if any(is_image(cell) for cell in header):
        raise MocoError(
            f"--data {shown}: its first line, {printable(rows[0][0])} ..., is an image and not a header; "
            "put a line above it such as path,label"
        )
    paths = next((header.index(name) for name in PATH_COLUMNS if name in header), 0)
    classes = next((header.index(name) for name in CLASS_COLUMNS if name in header), None)
    rows = [row for row in rows[1:] if len(row) > paths and row[paths].strip()]
    names = [row[paths].strip() for row in rows]
    if classes is None:
        return names, []
    return names, [row[classes].strip() if len(row) > classes else "" for row in rows]
