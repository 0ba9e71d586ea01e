"""What `--data` names: from a path or a word to a source, and to a labelled one for judging."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from moco.data.archive import Archive
from moco.data.array import Array, is_zarr
from moco.data.demo import Demo
from moco.data.folder import Folder
from moco.data.labelled import Labelled, by_folder, by_labels
from moco.data.listing import Listing
from moco.data.names import is_image, printable
from moco.data.shard_names import names_shards
from moco.data.shard_store import Store
from moco.data.shards import Shards
from moco.data.source import Source
from moco.data.stacked import Stacked
from moco.data.stacked_table import StackedTable, is_table
from moco.data.torchvision_set import TorchvisionSet
from moco.errors import MocoError

FILES: dict[str, Callable[[str], Source]] = {
    ".zip": Archive,
    ".tar": Archive,
    ".txt": Listing,
    ".csv": Listing,
    ".tsv": Listing,
    ".npy": Array,
    ".npz": Array,
}
"""The source for each suffix of a file."""

_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar", ".gz")
_TAKES = (
    "--data takes a folder, a .zip or .tar, shards ('x/{000..012}.tar', also s3://, gs:// or http://), "
    "a .txt, .csv or .tsv list, a .npy, .npz or .zarr array, torchvision:NAME or demo"
)
__all__ = ["FILES", "Labelled", "open_labelled", "open_source"]


def open_source(data: str | os.PathLike[str], store: Store | None = None) -> Source:
    """The images that `data` names, kept in `store` where they are fetched; raises MocoError where it names none."""
    text = os.fspath(data)
    kind, colon, rest = text.partition(":")
    stacked = kind == "stack" and bool(colon)  # a folder may be called so
    if not stacked and names_shards(expanded := os.path.expanduser(text)):  # noqa: PTH111
        return Shards(expanded, store)
    if stacked:
        pattern, _, below = rest.partition(":")
        below = os.path.expanduser(below)  # noqa: PTH111
        return StackedTable(pattern, below) if is_table(below) else Stacked(pattern, below)
    if kind == "demo":
        return Demo(rest)
    if kind == "torchvision":
        name, _, split = rest.partition(":")
        return TorchvisionSet(name, split or "train")
    path = Path(text).expanduser()
    try:
        folder, file = bool(text) and path.is_dir(), bool(text) and path.is_file()
    except (OSError, ValueError):
        folder = file = False
    if folder:
        return Array(path) if is_zarr(path) else Folder(path)
    if not file:
        raise MocoError(f"--data {printable(text)}: there is no such file or folder; {_TAKES}")
    if path.name.lower().endswith(_PACKED):
        raise MocoError(
            f"--data {printable(text)}: single images cannot be read from the middle of a compressed archive; "
            "unpack it and give the folder, or repack it as .zip or as .tar without compression"
        )
    if is_image(path.name):
        raise MocoError(f"--data {printable(text)}: this is one image; give the folder that it is in")
    if (source := FILES.get(path.suffix.lower())) is None:
        raise MocoError(f"--data {printable(text)}: a file of this kind is not read; {_TAKES}")
    return source(str(path))


def open_labelled(data: str | os.PathLike[str]) -> Labelled:
    """The images that `data` names, with their classes, and what to learn from where the data come split."""
    text = os.fspath(data)
    match text.split(":"):
        case ["demo"] | ["demo", "test"]:
            return by_labels(Demo("test"), Demo())
        case ["demo", "validation"]:
            return by_labels(Demo("validation"), Demo("train"))
        case ["torchvision", name]:
            return by_labels(_torchvision_judged(name), TorchvisionSet(name))
    source = open_source(data)
    return by_folder(source, text) if isinstance(source, Folder | Archive) else by_labels(source)


def _torchvision_judged(name: str) -> Source:
    """The part of a torchvision data set to judge on, which it calls test or val."""
    try:
        return TorchvisionSet(name, "test")
    except MocoError as error:
        try:
            return TorchvisionSet(name, "val")
        except MocoError:
            raise error from None
