"""A folder of images: flat, nested or mixed."""

from __future__ import annotations

import os
from typing import Any

from moco.data.large import opened_or_bytes
from moco.data.names import first_folder, no_images, number_of, printable, root_of
from moco.data.source import Hints, file_bytes
from moco.data.walk import find_images
from moco.errors import MocoError


class Folder:
    """All images below a folder, sorted by their relative path; a first folder is the class."""

    hints = Hints()

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(path)  # noqa: PTH100  (keeps links as they were written)
        if not os.path.isdir(self.root):  # noqa: PTH112
            raise MocoError(f"--data {os.fspath(path)}: there is no such folder ({self.root}); check the path")
        found = find_images(self.root)
        if not found.names:
            raise MocoError(f"--data {os.fspath(path)}: {no_images('this folder', len(found.others))}")
        self.names = found.names
        self.others = found.others
        self.description = f"folder {printable(os.fspath(path))}, {number_of(len(self.names), 'image')}"
        self._top = root_of(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """The path below the folder."""
        return printable(self.names[i])

    def file_path(self, i: int) -> str:
        """Where the file is."""
        return self.root + "/" + self.names[i]

    def raw(self, i: int) -> bytes:
        """The file as it is; raises Unreadable."""
        return file_bytes(self.file_path(i))

    def native(self, i: int) -> Any:
        """The file, or where it is a large TIFF, the file opened, so that it need not be held whole."""
        return opened_or_bytes(self.file_path(i))

    def label(self, i: int) -> str | None:
        """The first folder of the path that not all images share."""
        label = first_folder(self.names[i], self._top)
        return None if label is None else printable(label)
