"""What the name of a file says: is it an image, is it litter of an operating system, which class is it of?

Names are relative to the folder or archive and use forward slashes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

from moco.data.formats import readable_suffixes

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
"""The files that count as images anywhere, in lower or upper case."""

_LITTER = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "thumbs.db"}


@cache
def suffixes() -> tuple[str, ...]:
    """The files that count as images here: also those that need a package which is there."""
    return SUFFIXES + readable_suffixes()


def is_image(name: str) -> bool:
    """Does the suffix say that this is an image?"""
    return name.lower().endswith(suffixes())


def with_arrays(names: list[str], others: list[str]) -> tuple[list[str], list[str]]:
    """Images and what lies beside them; .npy are images where there are no others: else what is known of these."""
    if names or not any(name.lower().endswith(".npy") for name in others):
        return names, others
    arrays = [name for name in others if name.lower().endswith(".npy")]
    return arrays, [name for name in others if not name.lower().endswith(".npy")]


def suffix_of(name: str) -> str:
    """The ending in lower case, with its dot; empty where there is none, or only a number as in DICOM's names."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    return "" if suffix[1:].isdecimal() else ".nii.gz" if name.lower().endswith(".nii.gz") else suffix


def number_of(count: int, noun: str) -> str:
    """ "1 image", "1,234 images"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def is_litter(part: str) -> bool:
    """Is this one part of a path hidden, or left by an operating system (thumbnails, Apple's shadow files)?"""
    return part.startswith(".") or part.lower() in _LITTER


def no_images(what: str, others: int) -> str:
    """The sentence for a place without a single image."""
    found = "it is empty" if not others else f"it holds {others:,} other file{'s' * (others != 1)}"
    return f"{what} has no images: {found}; read are files that end in {' '.join(suffixes())}, in upper or lower case"


def printable(name: str) -> str:
    """A name that any terminal and file can take, whatever bytes the file system gave."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def one_line(name: str) -> str:
    """A name with its line breaks, tabs and other control characters spelt out (`\\n`), for a line of its own."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def root_of(names: Sequence[str]) -> str:
    """The folder ("a/b/", or "") that all of these sorted names share, in the time of looking at two of them.

    Archives are often made of one folder, which says nothing about the images. If all images lie right in it, it may
    be their class, and is not taken off.
    """
    first, last = names[0].split("/")[:-1], names[-1].split("/")[:-1]
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    if shared and shared == len(first) == len(last):
        shared -= 1
    return "".join(part + "/" for part in first[:shared])


def first_folder(name: str, root: str) -> str | None:
    """The folder right below `root` that the file lies in, if it lies in one."""
    folder, slash, _ = name[len(root) :].partition("/")
    return folder if slash else None


def last_folder(name: str, root: str) -> str | None:
    """The folder right above the file, if there is one below `root`."""
    return name[len(root) :].rpartition("/")[0].rpartition("/")[2] or None
