"""Images in one array: .npy (read from disk as they are asked for), .npz (with labels if it has any), or .zarr."""

from __future__ import annotations

import os
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.data.formats import INSTALL, has
from moco.data.names import number_of, printable
from moco.data.pixels import to_8_bits, to_rgb, white_of
from moco.data.plain import LEAST_SIDE
from moco.data.source import Hints, Unreadable
from moco.errors import MocoError

IMAGE_KEYS = ("images", "x", "data", "arr_0")
LABEL_KEYS = ("labels", "y", "targets")
_CHANNELS = (1, 3, 4)


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is a zarr array or group, of format 2 or 3."""
    return any(os.path.exists(os.path.join(path, name)) for name in (".zarray", ".zgroup", "zarr.json"))  # noqa: PTH110, PTH118


class Array:
    """N x H x W, N x H x W x C or N x C x H x W, of any number of bands C and any real numbers."""

    hints = Hints()

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100
        self._shown = printable(os.fspath(path))
        self._pixels: NDArray[Any] | None
        self._pixels, self.labels = self._load()
        self._axes = self._find_axes(self._pixels.shape)
        self._white, self._why = self._find_white(self._pixels)
        self._count = int(self._pixels.shape[0])
        self.description = f"array {self._shown}, {number_of(self._count, 'image')}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}  # workers read the file again rather than be sent its pixels

    def __len__(self) -> int:
        return self._count

    def name(self, i: int) -> str:
        """The row."""
        return f"row {i}"

    def raw(self, i: int) -> NDArray[np.uint8]:
        """The pixels as a photograph, H x W x 3; raises Unreadable where they are none or a value is out of range."""
        row = self.native(i)
        if self._why:
            raise Unreadable(self._why)
        if row.dtype == np.uint8:
            return to_rgb(row)
        if not (row.min() >= 0 and row.max() <= self._white):  # also where a value is not a number
            raise Unreadable(f"values from {row.min()} to {row.max()}, not from 0 to {self._white}")
        return to_rgb(to_8_bits(row, 0, self._white))

    def native(self, i: int) -> NDArray[Any]:
        """The values, H x W or H x W x C, of the type that the file has."""
        if self._pixels is None:
            self._pixels, _ = self._load()
        return np.asarray(self._pixels[i]).transpose(self._axes)

    def label(self, i: int) -> str | None:
        """The row of the labels in the .npz."""
        return None if self.labels is None else self.labels[i]

    def _load(self) -> tuple[NDArray[Any], list[str] | None]:
        try:
            if os.path.isdir(self.path):  # noqa: PTH112
                return self._choose_of_zarr()
            if self.path.lower().endswith(".npy"):
                mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
                if not isinstance(mapped, np.ndarray):
                    raise ValueError("it is an .npz: name it so")
                return mapped, None
            with np.load(self.path, allow_pickle=False) as file:
                return self._choose(dict.fromkeys(file.files), file)
        except MocoError:
            raise
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise MocoError(
                f"--data {self._shown}: {'zarr' if os.path.isdir(self.path) else 'NumPy'} cannot read this ({error}); "  # noqa: PTH112
                "write it with numpy.save, numpy.savez or zarr, without Python objects"
            ) from None

    def _choose_of_zarr(self) -> tuple[Any, list[str] | None]:
        """A zarr array, or the images and labels of a group; chunks are read as they are asked for."""
        if not has("zarr"):
            raise MocoError(f"--data {self._shown}: a zarr array takes {INSTALL}")
        import zarr

        opened: Any = zarr.open(self.path, mode="r")
        if hasattr(opened, "shape"):
            return opened, None
        pixels, labels = self._choose(dict.fromkeys(opened.array_keys()), opened)
        return pixels, labels

    def _choose(self, keys: dict[str, None], file: Any) -> tuple[NDArray[Any], list[str] | None]:
        """The images and labels among the arrays of an .npz."""
        if (images := next((key for key in IMAGE_KEYS if key in keys), None)) is None:
            raise MocoError(
                f"--data {self._shown}: it holds {', '.join(keys) or 'nothing'}, and images are looked for under "
                f"{', '.join(IMAGE_KEYS)}; save them as numpy.savez(file, images=..., labels=...)"
            )
        pixels = file[images]
        if (key := next((key for key in LABEL_KEYS if key in keys), None)) is None:
            return pixels, None
        labels, count = np.asarray(file[key][:]), pixels.shape[0]
        if labels.shape not in {(count,), (count, 1)}:
            raise MocoError(
                f"--data {self._shown}: {key} has shape {labels.shape} for {count} images; one label an image"
            )
        whole = labels.dtype.kind == "f" and bool((labels == np.rint(labels)).all())
        return pixels, [str(label) for label in (labels.astype(np.int64) if whole else labels).ravel().tolist()]

    def _find_axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """How to turn one image so that its channels, if any, come last."""
        if len(shape) == 3:
            axes: tuple[int, ...] = (0, 1)
        elif len(shape) == 4 and shape[3] in _CHANNELS:
            axes = (0, 1, 2)
        elif len(shape) == 4 and (shape[1] in _CHANNELS or shape[1] < shape[3]):
            axes = (1, 2, 0)
        elif len(shape) == 4:
            axes = (0, 1, 2)
        else:
            raise MocoError(
                f"--data {self._shown}: shape {shape} is none of N x H x W, N x H x W x C, N x C x H x W; reshape it"
            )
        height, width = shape[1 + axes[0]], shape[1 + axes[1]]
        if shape[0] == 0 or min(height, width) < LEAST_SIDE:
            raise MocoError(
                f"--data {self._shown}: {shape[0]} images of {width} x {height} pixels; "
                f"there must be one at least, with sides of {LEAST_SIDE} pixels or more"
            )
        return axes

    def _find_white(self, pixels: NDArray[Any]) -> tuple[int, str]:
        """The value that is white in every image seen as a photograph, from a sample; or why it cannot be seen so."""
        if pixels.ndim == 4 and pixels.shape[1 + self._axes[2]] not in _CHANNELS:
            return 0, f"{pixels.shape[1 + self._axes[2]]} bands are no photograph; --bands chooses those to see"
        sample = np.asarray(pixels[:: max(1, pixels.shape[0] // 256)])
        match pixels.dtype.kind, pixels.dtype.itemsize:
            case ("u", 1):
                return 255, ""
            case ("u", 2):
                return white_of(int(sample.max())), ""
            case ("b", _):
                return 1, ""
            case ("f", _) if sample.min() >= 0 and sample.max() <= 1:
                return 1, ""
            case ("f" | "i" | "u", _):
                return 0, f"values from {sample.min()} to {sample.max()} are no photograph; --range says what is white"
        raise MocoError(f"--data {self._shown}: values of type {pixels.dtype}, not real numbers; save uint8 or float32")
