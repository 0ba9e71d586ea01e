"""Files beyond those that Pillow reads anywhere: what each format is called, how it ends, and what reads it.

Those that take more than Pillow come with one extra. Where it is missing they are counted, with what installs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

INSTALL = "pip install 'momentum-contrast[formats]'"


@dataclass(frozen=True)
class Format:
    """A format that an optional package reads."""

    name: str
    suffixes: tuple[str, ...]
    package: str
    """What is imported to read it."""

    @property
    def read(self) -> bool:
        """Whether the package is there; does not import it."""
        return has(self.package)


BEYOND = (
    Format("HEIC", (".heic", ".heif", ".hif"), "pillow_heif"),
    Format("AVIF", (".avif",), "PIL._avif"),
    Format("JPEG XL", (".jxl",), "imagecodecs"),
    Format("DICOM", (".dcm", ".dicom"), "pydicom"),
    Format("NIfTI", (".nii", ".nii.gz"), "nibabel"),
    Format(
        "camera RAW",
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"),
        "rawpy",
    ),
    Format("JPEG 2000", (".jp2", ".j2k", ".jpx", ".jpf", ".j2c"), "PIL"),
    Format("ICO", (".ico",), "PIL"),
    Format("TGA", (".tga",), "PIL"),
)
"""All formats beyond the everyday ones."""


@cache
def has(package: str) -> bool:
    """Whether a package is installed; does not import it (but the one it is in)."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def of_suffix(suffix: str) -> Format | None:
    """The format beyond the everyday ones of files that end so (".heic"), in lower case."""
    return next((one for one in BEYOND if suffix in one.suffixes), None)


@cache
def readable_suffixes() -> tuple[str, ...]:
    """Of these formats, the endings that are read here."""
    return tuple(suffix for one in BEYOND if one.read for suffix in one.suffixes)


@cache
def register() -> None:
    """Make Pillow read HEIC, where the package for it is there."""
    if has("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
