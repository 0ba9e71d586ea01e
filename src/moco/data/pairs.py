"""What a person knows about images, read: a table with a column of groups or of times, or the folders they lie in."""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from moco.data.groups import Groups
from moco.data.listing import PATH_COLUMNS, file_text
from moco.data.names import is_image, number_of, printable
from moco.data.source import Source
from moco.errors import MocoError

PARENT = "parent"
"""Instead of a table: images of one folder are of one group."""

GROUP_COLUMNS = ("group",)
TIME_COLUMNS = ("time", "timestamp", "datetime", "date")
_TAKES = "--pairs takes a .csv or .tsv with the columns path and group (or FILE:COLUMN), or the word parent"


@dataclass(frozen=True)
class Known:
    """Groups of images, and what there is to say about how they were read."""

    groups: Groups
    lines: list[str]
    names: list[str]
    """The name of each image's group; empty words where it is of none."""


@dataclass(frozen=True)
class _Row:
    """What a table says about one image."""

    path: str
    group: str | None
    time: float | None


def read_pairs(asked: str, window: float | None, source: Source) -> Known:
    """The groups that `asked` (a table, FILE:COLUMN, or `parent`) makes of the images of `source`.

    With a `window` in seconds, images of a group that follow one another within it are one group, by the column of
    times. Raises MocoError where the table cannot be read or contradicts itself, names none of the images, no two of
    them share a group, or one group has more than half of them.
    """
    if asked == PARENT:
        if window is not None:
            raise MocoError("--pair-window goes with a table that has a column of times; folders have none")
        files = _files(source)
        if not any("/" in file for file in files):
            raise MocoError(
                f"--pairs parent: the images of {source.description} lie in no folders; give a table ({_TAKES})"
            )
        return _told("their folders", files, [file.rpartition("/")[0] for file in files], [], [])
    path, column = _file_and_column(asked)
    rows = _rows(path, column, window)
    files = _files(source)
    found, unknown = _matched(rows, path, files, source)
    if len(unknown) == len(rows):
        raise MocoError(
            f"--pairs {printable(asked)}: none of the {number_of(len(rows), 'image')} it names is among those of "
            f"--data: it has {printable(rows[0].path)}, --data has {printable(files[0])}; paths are those below "
            "--data, or relative to the folder of the table, or absolute"
        )
    groups: Sequence[Hashable | None] = [None if row is None else row.group for row in found]
    if window is not None:
        groups = _bursts(found, window)
    return _told(printable(path), files, groups, unknown, [f for f, g in zip(files, groups, strict=True) if g is None])


def _told(
    where: str, files: list[str], names: Sequence[Hashable | None], unknown: list[str], without: list[str]
) -> Known:
    """The groups, checked, with the sentences about them."""
    groups = Groups.named(names)
    counts = Counter(name for name in names if name is not None)
    largest, most = counts.most_common(1)[0] if counts else ("", 0)
    if most < 2:
        raise MocoError(
            f"--pairs: by {where}, no two images are of one group, so that nothing is known of any pair; "
            "leave --pairs out, or group by another column"
        )
    if most > len(files) / 2:
        shown = largest[0] if isinstance(largest, tuple) else largest
        raise MocoError(
            f"--pairs: by {where}, {most:,} of {len(files):,} images are of the group {printable(str(shown))!r}, more "
            "than half: they could not be told from one another; group by something finer"
        )
    several = groups.sizes[groups.sizes > 1]
    low = int(several.min())
    sizes = f"{low:,}" if low == most else f"{low:,} to {most:,}, half of them of up to {int(np.median(several)):,}"
    lines = [f"positives by {where}: {int(several.sum()):,} images in {number_of(len(several), 'group')} of {sizes}"]
    if groups.alone:
        one = groups.alone == 1
        alone = (
            "is alone in its group and meets a second view of itself"
            if one
            else ("are alone in their group and meet a second view of themselves")
        )
        lines.append(f"{number_of(groups.alone, 'image')} {alone}")
    if unknown:
        name = "names" if len(unknown) == 1 else "name"
        lines.append(f"{number_of(len(unknown), 'row')} {name} no image of --data, such as {printable(unknown[0])}")
    if without:
        are = "is" if len(without) == 1 else "are"
        lines.append(f"{number_of(len(without), 'image')} {are} of no group in it, such as {printable(without[0])}")
    return Known(groups, lines, [_name(name) for name in names])


def _name(group: Hashable | None) -> str:
    """A group as a person reads it: of a burst, the group that it is a part of and its number."""
    match group:
        case None:
            return ""
        case (of, burst):
            return f"{of} {burst}".strip()
        case _:
            return str(group)


def _files(source: Source) -> list[str]:
    """The file of each image, as the source names it; that of a page or a tile is its whole file."""
    rows: Any = getattr(source, "rows", None)
    whole: Any = getattr(source, "whole", None)
    if rows is not None and whole is not None:
        names = [whole.name(i) for i in range(len(whole))]
        return [names[int(file)] for file in rows[:, 0]]
    return [source.name(i) for i in range(len(source))]


def _paths(source: Source) -> list[str]:
    """Where the file of each image is; empty where images are no files."""
    rows: Any = getattr(source, "rows", None)
    whole: Any = source if rows is None else getattr(source, "whole", source)
    if not hasattr(whole, "file_path"):
        return []
    real = _Real()
    paths = [real(whole.file_path(i)) for i in range(len(whole))]
    return paths if rows is None else [paths[int(file)] for file in rows[:, 0]]


class _Real:
    """Paths whose folders are no links, each folder looked at once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder] + "/" + name


def _matched(rows: list[_Row], table: str, files: list[str], source: Source) -> tuple[list[_Row | None], list[str]]:
    """The row of each image, and the paths of rows that name none."""
    folder = os.path.dirname(os.path.abspath(table))  # noqa: PTH100, PTH120
    by_name = {os.path.normpath(row.path): row for row in rows}
    real = _Real()
    by_path = {real(os.path.join(folder, row.path)): row for row in rows}  # noqa: PTH118
    found: list[_Row | None] = [by_name.get(os.path.normpath(file)) for file in files]
    for i, path in enumerate(_paths(source)):
        found[i] = found[i] or by_path.get(path)
    used = {row.path for row in found if row is not None}
    return found, [row.path for row in rows if row.path not in used]


def _bursts(rows: Sequence[_Row | None], window: float) -> list[Hashable | None]:
    """Groups split where the next image of one comes later than `window` seconds after the one before."""
    names: list[Hashable | None] = [None] * len(rows)
    timed = [(row.group or "", row.time, i) for i, row in enumerate(rows) if row is not None and row.time is not None]
    burst, before = 0, ("", -math.inf)
    for group, time, i in sorted(timed):
        if group != before[0] or time - before[1] > window:
            burst += 1
        names[i], before = (group, burst), (group, time)
    return names


def _file_and_column(asked: str) -> tuple[str, str | None]:
    """The table, and the column of groups where it is named: FILE, or FILE:COLUMN."""
    expanded = os.path.expanduser(asked)  # noqa: PTH111
    if Path(expanded).is_file():
        return expanded, None
    file, colon, column = expanded.rpartition(":")
    if colon and Path(file).is_file():
        return file, column.strip().lower()
    raise MocoError(f"--pairs {printable(asked)}: there is no such file; {_TAKES}")


def _rows(path: str, column: str | None, window: float | None) -> list[_Row]:
    """What the table says, each image once."""
    shown = f"--pairs {printable(path)}"
    delimiter = {".csv": ",", ".tsv": "\t"}.get(Path(path).suffix.lower())
    if delimiter is None:
        raise MocoError(f"{shown}: a file of this kind is no table; {_TAKES}")
    try:
        cells = [row for row in csv.reader(io.StringIO(file_text(path)), delimiter=delimiter, strict=True) if any(row)]
    except (OSError, csv.Error) as error:
        raise MocoError(f"{shown}: the table cannot be read ({error}); {_TAKES}") from None
    if len(cells) < 2:
        raise MocoError(f"{shown}: the table has no rows below its header; {_TAKES}")
    header = [cell.strip().lower() for cell in cells[0]]
    if any(is_image(cell) for cell in header):
        raise MocoError(f"{shown}: its first line is an image and not a header; put a line above it: path,group")
    paths = next((header.index(name) for name in PATH_COLUMNS if name in header), 0)
    groups, times = _columns(header, column, window, shown)
    rows: dict[str, _Row] = {}
    for number, row in enumerate(cells[1:], start=2):
        row = [*row, *[""] * (len(header) - len(row))]
        name = row[paths].strip()
        if not name:
            continue
        found = _Row(
            name,
            None if groups is None else row[groups].strip() or None,
            None if times is None else _time(row[times].strip(), f"{shown}, row {number}"),
        )
        if rows.setdefault(name, found) != found:
            raise MocoError(
                f"{shown}: {printable(name)} is in it twice, with different groups "
                f"({_said(rows[name])} and {_said(found)}); keep one of the rows"
            )
    if not rows:
        raise MocoError(f"{shown}: no row has a path; {_TAKES}")
    return list(rows.values())


def _said(row: _Row) -> str:
    return row.group or (f"time {row.time:g}" if row.time is not None else "none")


def _columns(header: list[str], column: str | None, window: float | None, shown: str) -> tuple[int | None, int | None]:
    """Where groups and times are; a column of times counts only with a window."""
    has = f"it has {', '.join(header)}"
    if column is not None and column not in header:
        raise MocoError(f"{shown}: there is no column {column!r}; {has}")
    groups = next((header.index(n) for n in ((column,) if column else GROUP_COLUMNS) if n in header), None)
    times = next((header.index(name) for name in TIME_COLUMNS if name in header), None)
    if window is None:
        if groups is None:
            after = "add --pair-window 30s to group by time, or " if times is not None else ""
            raise MocoError(f"{shown}: there is no column group ({has}); {after}name one as {shown[8:]}:COLUMN")
        return groups, None
    if times is None:
        raise MocoError(f"{shown}: --pair-window needs a column {' or '.join(TIME_COLUMNS)}; {has}")
    return groups, times


def _time(text: str, where: str) -> float | None:
    """Seconds, from a number of them or a date in ISO 8601; None where nothing is said."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            raise MocoError(
                f"{where}: the time {printable(text)!r} is neither a number of seconds nor a date such as "
                "2024-05-31T12:00:00"
            ) from None
        seconds = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise MocoError(f"{where}: the time {printable(text)!r} is no finite number of seconds")
    return seconds
