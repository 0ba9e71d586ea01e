"""What an encoder sees of an image when it is used: resized, the central square, normalised."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from moco.data.pillow_file import image_pixels
from moco.data.seen import open_seen
from moco.data.source import Unreadable
from moco.data.values import writable
from moco.errors import MocoError
from moco.ops.bands import to_unit
from moco.recipe import Normalize, Pixels, Recipe, channels_of


@dataclass(frozen=True)
class Preprocess:
    """An image to the `size` x `size` tensor that belongs to an encoder.

    From 64 px on, the shorter side is resized to 256/224 of the square, as in the papers; below, to the square itself,
    so that images of the right size (CIFAR-10) are only normalised.
    """

    size: int
    normalize: Normalize
    pixels: Pixels | None = None
    """What the encoder's images are made of; None: photographs."""

    @classmethod
    def of(cls, recipe: Recipe) -> Preprocess:
        """That of a recipe."""
        return cls(recipe.image_size, recipe.normalize, recipe.pixels)

    @property
    def channels(self) -> int:
        """Of what comes out."""
        return channels_of(self.pixels)

    @property
    def short_side(self) -> int:
        """Pixels that the shorter side is resized to before the square is cut out."""
        return round(self.size * 256 / 224) if self.size >= 64 else self.size

    def __call__(self, image: PIL.Image.Image | NDArray[Any]) -> Tensor:
        """float32, C x S x S, of a PIL image of any mode or an H x W x 3 uint8 array; raises MocoError for others.

        Where the encoder's images are no photographs, of an array H x W x C (or H x W) with the bands of the data set.
        """
        if self.pixels is not None:
            return self.normalise(self.centre(decided(image, self.pixels))[None])[0]
        if not isinstance(image, PIL.Image.Image | np.ndarray):
            opened = f"PIL.Image.open({str(image)!r})" if isinstance(image, str | os.PathLike) else "a PIL image"
            raise MocoError(f"a {type(image).__name__} is no image: give {opened} or an H x W x 3 uint8 array")
        pixels = image_pixels(image) if isinstance(image, PIL.Image.Image) else image
        return self.normalise(self.centre(pixels)[None])[0]

    def centre(self, image: NDArray[Any]) -> Tensor:
        """uint8, 3 x S x S, of an H x W x 3 image: resized by PIL, as in the official pipeline, and cut out.

        Of other than photographs float32, C x S x S in [0, 1]: nothing is rounded. Raises MocoError for anything but
        H x W x 3 of uint8, or the channels and the type of the encoder's images.
        """
        if self.pixels is not None:
            return self._centre_of_bands(image, self.pixels)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise MocoError(f"an image must be H x W x 3 uint8, not {image.shape} of {image.dtype}")
        resized_size = self._resized(*image.shape[:2])
        whole = PIL.Image.fromarray(image)
        if whole.size != resized_size:
            whole = whole.resize(resized_size, PIL.Image.Resampling.BILINEAR)
        left, top = (round((side - self.size) / 2.0) for side in whole.size)
        box = (left, top, left + self.size, top + self.size)
        return torch.from_numpy(np.array(whole.crop(box))).permute(2, 0, 1).contiguous()

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Width and height that the square is cut out of."""
        short = self.short_side
        if height <= width:
            return max(self.size, short * width // height), short
        return short, max(self.size, short * height // width)

    def _centre_of_bands(self, image: NDArray[Any], pixels: Pixels) -> Tensor:
        if image.dtype != pixels.kind or image.ndim != 3 or image.shape[2] != pixels.channels:
            raise MocoError(
                f"an image must be H x W x {pixels.channels} {pixels.kind}, not {image.shape} of {image.dtype}"
            )
        width, height = self._resized(*image.shape[:2])
        whole = to_unit(torch.from_numpy(writable(np.ascontiguousarray(image))).permute(2, 0, 1)[None], *pixels.scale)
        if whole.shape[2:] != (height, width):
            whole = interpolate(whole.contiguous(), (height, width), mode="bilinear", antialias=True)
        left, top = (round((side - self.size) / 2.0) for side in (width, height))
        return whole[0, :, top : top + self.size, left : left + self.size].contiguous()

    def normalise(self, images: Tensor) -> Tensor:
        """float32, N x C x S x S, of what `centre` made, on its device."""
        mean, std = (
            torch.tensor(v, device=images.device).view(1, -1, 1, 1) for v in (self.normalize.mean, self.normalize.std)
        )
        return ((images if images.is_floating_point() else images.float() / 255) - mean) / std


def decided(image: PIL.Image.Image | NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    """The values of an image as the data set has them; raises MocoError where they differ."""
    if not isinstance(image, PIL.Image.Image | np.ndarray) or (
        isinstance(image, np.ndarray) and image.ndim not in (2, 3)
    ):
        what = f"an array of shape {image.shape}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
        raise MocoError(f"{what} is no image: give a PIL image, or an array H x W x {pixels.of}")
    chosen = pixels.channels != pixels.of and image.dtype == pixels.kind if isinstance(image, np.ndarray) else False
    if chosen and image.shape[2:] == (pixels.channels,):  # type: ignore[union-attr]
        return image  # type: ignore[return-value]
    try:
        if isinstance(image, PIL.Image.Image):
            deep = image.mode.startswith("I") or image.mode in ("F", "L")
            image = np.asarray(image) if deep else image_pixels(image)
            image = image.astype(np.uint16) if image.dtype == np.int32 else image
        return open_seen(image, pixels).pixels()[0]
    except Unreadable as error:
        raise MocoError(f"the image cannot be taken: {error}") from None
