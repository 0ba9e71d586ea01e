"""Small images, decoded once and kept as they are: uint8, or of the type and channels of the data set."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.data.decode import decode
from moco.data.source import Source, Unreadable

Skipped = dict[int, str]
"""Position of an image that could not be read, and the reason."""


class Memory:
    """All images of a source, of any sizes, one behind the other; for an unreadable one stands the next readable."""

    def __init__(
        self,
        pixels: Tensor,
        start: NDArray[np.int64],
        sizes: NDArray[np.int64],
        stand_in: NDArray[np.int64],
        channels: int = 3,
    ) -> None:
        self._channels, self._dtype = channels, pixels.dtype
        self._pixels = pixels.view(torch.int16) if pixels.dtype == torch.uint16 else pixels  # which torch can index
        self._start = start
        self._sizes = sizes
        self._stand_in = stand_in
        self._uniform = bool((sizes == sizes[0]).all())

    def __len__(self) -> int:
        return len(self._stand_in)

    def batch(self, index: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int64]]:
        """Pixels (N x C x H x W, padded below and right with zeros) and sizes (N x 2: height, width)."""
        index = self._stand_in[index]
        sizes = self._sizes[index]
        height, width = sizes.max(axis=0)
        if self._uniform:
            whole = self._pixels.view(-1, self._channels, int(height), int(width))
            return whole[torch.from_numpy(index)].view(self._dtype), sizes
        out = torch.zeros(len(index), self._channels, int(height), int(width), dtype=self._pixels.dtype)
        for row, (i, (h, w)) in enumerate(zip(index, sizes, strict=True)):
            start = int(self._start[i])
            out[row, :, :h, :w] = self._pixels[start : start + self._channels * h * w].view(-1, h, w)
        return out.view(self._dtype), sizes


LONGEST = 512
"""Sides above this are not small: one such image would pad a whole batch to its size."""


def load_memory(
    source: Source, threads: int, progress: Callable[[int], object] | None = None
) -> tuple[Memory | None, Skipped]:
    """Decode every image of the source; `progress` is told how many are done. None where one is larger than LONGEST."""
    images: list[NDArray[Any] | str] = []

    def read(i: int) -> NDArray[Any] | str:
        try:
            return np.ascontiguousarray(decode(source.raw(i)).transpose(2, 0, 1))
        except Unreadable as error:
            return str(error)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for image in pool.map(read, range(len(source)), chunksize=64):
            images.append(image)
            if not isinstance(image, str) and max(image.shape) > LONGEST:
                pool.shutdown(cancel_futures=True)
                return None, {}
            if progress is not None and len(images) % 256 == 0:
                progress(len(images))
    if all(isinstance(image, str) for image in images):
        return None, dict(enumerate(map(str, images)))
    skipped = {i: image for i, image in enumerate(images) if isinstance(image, str)}
    sizes = np.array([(0, 0) if isinstance(im, str) else im.shape[1:] for im in images], dtype=np.int64).reshape(-1, 2)
    first = next(image for image in images if not isinstance(image, str))
    lengths = len(first) * sizes.prod(axis=1)
    start = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    pixels = np.empty(int(lengths.sum()), dtype=first.dtype)
    for i, image in enumerate(images):
        if not isinstance(image, str):
            pixels[start[i] : start[i] + lengths[i]] = image.reshape(-1)
            images[i] = ""
    sizes, start, stand_in = _without_gaps(sizes, start, skipped)
    return Memory(torch.from_numpy(pixels), start, sizes, stand_in, len(first)), skipped


def _without_gaps(
    sizes: NDArray[np.int64], start: NDArray[np.int64], skipped: Skipped
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Drop unreadable images; say for each position which of the kept images stands there."""
    readable = np.array([i for i in range(len(sizes)) if i not in skipped], dtype=np.int64)
    following = np.searchsorted(readable, np.arange(len(sizes))) % max(len(readable), 1)
    return sizes[readable], start[readable], following
