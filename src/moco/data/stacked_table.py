"""One image from several files, a band in each, as a table lists them: a row an image, a column a band."""

from __future__ import annotations

import os
import re

from moco.data.listing import CLASS_COLUMNS, file_text, table_of
from moco.data.names import number_of, printable
from moco.data.source import Hints, Unreadable, file_bytes
from moco.data.stacked import BAND, by_number, stack_of
from moco.data.values import Native
from moco.errors import MocoError

_TABLES = (".csv", ".tsv")


def is_table(path: str) -> bool:
    """Whether it is a file with columns."""
    return path.lower().endswith(_TABLES) and os.path.isfile(path)  # noqa: PTH113


class StackedTable:
    """The images of a .csv or .tsv: `B{band}` names its columns B02, B03, ..., in the order of their numbers.

    `red,green,nir` names columns one by one, in that order. Paths are relative to the table; a column `label` or
    `class` has the classes.
    """

    hints = Hints()

    def __init__(self, columns: str, path: str) -> None:
        shown = printable(path)
        self.folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
        try:
            text = file_text(path)
        except OSError as error:
            raise MocoError(f"--data {shown}: the table cannot be read ({error.strerror}); check the path") from None
        rows = table_of(text, shown, os.path.splitext(path)[1].lower())  # noqa: PTH122
        header = [cell.strip() for cell in rows[0]] if rows else []
        places = _places(columns, header, shown)
        self.bands = list(places)
        labelled = next((k for k, cell in enumerate(header) if cell.lower() in CLASS_COLUMNS), None)
        self._files: list[dict[str, str]] = []
        self._labels: list[str | None] = []
        for row in rows[1:]:
            cells = {band: row[k].strip() for band, k in places.items() if k < len(row)}
            self._files.append({band: cell for band, cell in cells.items() if cell})
            self._labels.append(row[labelled].strip() or None if labelled is not None and labelled < len(row) else None)
        if not self._files:
            raise MocoError(f"--data {shown}: the table has no rows; a row an image, a path in the column of each band")
        listed = ", ".join(self.bands[:16]) + (" ..." if len(self.bands) > 16 else "")
        images, bands = number_of(len(self._files), "image"), number_of(len(self.bands), "band")
        self.description = f"table {shown}, {images} of {bands} ({listed})"

    def __len__(self) -> int:
        return len(self._files)

    def name(self, i: int) -> str:
        """The first file of the row, and which row it is (the header is the first)."""
        return f"row {i + 2} ({printable(next(iter(self._files[i].values()), 'empty'))})"

    def raw(self, i: int) -> bytes:
        """The first band's file; an image is read whole by `native`."""
        if not self._files[i]:
            raise Unreadable("the row names no file")
        return file_bytes(os.path.join(self.folder, next(iter(self._files[i].values()))))  # noqa: PTH118

    def native(self, i: int) -> Native:
        """All bands, opened; raises Unreadable where one is missing or they differ in size."""
        files = {band: os.path.join(self.folder, name) for band, name in self._files[i].items()}  # noqa: PTH118
        return stack_of(files, self.bands)

    def label(self, i: int) -> str | None:
        """What the column of classes says."""
        return self._labels[i]


def _places(columns: str, header: list[str], shown: str) -> dict[str, int]:
    """The column of each band, in the order of the bands; raises MocoError where there is none."""
    if columns.count(BAND) == 1:
        before, _, after = columns.partition(BAND)
        named = re.compile(rf"{re.escape(before)}(.+?){re.escape(after)}")
        found = {match[1]: k for k, cell in enumerate(header) if (match := named.fullmatch(cell))}
        places = {band: found[band] for band in sorted(found, key=by_number)}
    else:
        wanted = [word.strip() for word in columns.split(",") if word.strip()]
        if unknown := [word for word in wanted if word not in header]:
            raise MocoError(
                f"--stack {columns}: {shown} has no column {unknown[0]!r}; it has {', '.join(header) or 'none'}"
            )
        places = {word: header.index(word) for word in wanted}
    if not places:
        raise MocoError(f"--stack {columns}: no column of {shown} is named so; it has {', '.join(header) or 'none'}")
    return places
