"""One image from several files, a band in each: `B02.tif`, `B03.tif`, ... beside each other."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from moco.data.names import first_folder, number_of, printable, root_of
from moco.data.native import open_native
from moco.data.source import Hints, Unreadable, file_bytes
from moco.data.values import Facts, Native, Values
from moco.data.walk import find_images
from moco.errors import MocoError

BAND = "{band}"


class Stacked:
    """The images below a folder whose files are named by a pattern such as `B{band}.tif`, bands in the order of names.

    What a name has before the pattern, its folder with it, names the image.
    """

    hints = Hints()

    def __init__(self, pattern: str, path: str) -> None:
        if pattern.count(BAND) != 1 or "/" in pattern:
            raise MocoError(f"--stack {pattern}: the end of a file's name with {BAND} in it, such as 'B{BAND}.tif'")
        before, _, after = pattern.partition(BAND)
        named = re.compile(rf"(?P<image>.*?){re.escape(before)}(?P<band>[^/]+?){re.escape(after)}")
        self.root, self._pattern = os.path.abspath(path), pattern  # noqa: PTH100
        if not os.path.isdir(self.root):  # noqa: PTH112
            raise MocoError(f"--stack {pattern}: --data {printable(path)} is no folder")
        found = find_images(self.root)
        files: dict[str, dict[str, str]] = {}
        self.others = list(found.others)
        for name in found.names:
            if (match := named.fullmatch(name)) is None:
                self.others.append(name)
            else:
                files.setdefault(match["image"], {})[match["band"]] = name
        if not files:
            raise MocoError(f"--stack {pattern}: no file below --data {printable(path)} is named so")
        self.bands = sorted({band for bands in files.values() for band in bands}, key=by_number)
        self.names = sorted(files)
        self._files = files
        self._top = root_of([f"{name}x" for name in self.names])
        shown = ", ".join(self.bands[:16]) + (" ..." if len(self.bands) > 16 else "")
        images, bands = number_of(len(self.names), "image"), number_of(len(self.bands), "band")
        self.description = f"folder {printable(path)}, {images} of {bands} ({shown})"

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """What the names of the bands begin with."""
        return printable(self.names[i]) + self._pattern

    def raw(self, i: int) -> bytes:
        """The first band's file; an image is read whole by `native`."""
        return file_bytes(f"{self.root}/{next(iter(self._files[self.names[i]].values()))}")

    def native(self, i: int) -> Native:
        """All bands, opened; raises Unreadable where one is missing or they differ in size."""
        files = {band: f"{self.root}/{name}" for band, name in self._files[self.names[i]].items()}
        return stack_of(files, self.bands)

    def label(self, i: int) -> str | None:
        """The first folder of the path that not all images share."""
        label = first_folder(self.names[i], self._top)
        return None if label is None else printable(label)


def stack_of(files: Mapping[str, str], bands: Sequence[str]) -> Native:
    """The file of each band, opened as one image; raises Unreadable where one is missing or they do not go together."""
    if missing := [band for band in bands if band not in files]:
        raise Unreadable(f"band{'s' * (len(missing) > 1)} {', '.join(missing)} missing")
    opened = {band: open_native(file_bytes(files[band])) for band in bands}
    sizes = {(one.facts.width, one.facts.height): band for band, one in opened.items()}
    if len(sizes) > 1:
        shown = ", ".join(f"{w} x {h} (band {band})" for (w, h), band in sizes.items())
        raise Unreadable(f"bands of several sizes: {shown}; resample them to one")
    if odd := [band for band, one in opened.items() if one.facts.bands != 1]:
        raise Unreadable(f"band {odd[0]} has {opened[odd[0]].facts.bands} bands in its file; one is stacked from each")
    if len({one.facts.type for one in opened.values()}) > 1:
        raise Unreadable(f"bands of several types: {', '.join(sorted({o.facts.type for o in opened.values()}))}")
    return _Stack(list(opened.values()))


class _Stack:
    """Opened files of one band each, as one image."""

    def __init__(self, bands: list[Native]) -> None:
        self._bands = bands
        self.facts: Facts = replace(bands[0].facts, bands=len(bands), colour=False, white=None)
        self.pages = bands[0].pages

    def values(self, page: int = 0, reduction: int = 1) -> Values:
        return np.concatenate([band.values(page) for band in self._bands], axis=2)


def by_number(band: str) -> tuple[int, str]:
    """B2 before B10, and 8A behind 8."""
    digits = re.match(r"\d+", band)
    return (int(digits[0]) if digits else -1, band)
