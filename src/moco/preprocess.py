"""What an encoder sees of an image when it is used: resized, the central square, normalised."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.data.decode import image_pixels
from moco.errors import MocoError
from moco.recipe import Normalize


@dataclass(frozen=True)
class Preprocess:
    """An image to the `size` x `size` tensor that belongs to an encoder.

    From 64 px on, the shorter side is resized to 256/224 of the square, as in the papers; below, to the square itself,
    so that images of the right size (CIFAR-10) are only normalised.
    """

    size: int
    normalize: Normalize

    @property
    def short_side(self) -> int:
        """Pixels that the shorter side is resized to before the square is cut out."""
        return round(self.size * 256 / 224) if self.size >= 64 else self.size

    def __call__(self, image: PIL.Image.Image | NDArray[np.uint8]) -> Tensor:
        """float32, 3 x S x S, of a PIL image of any mode or an H x W x 3 uint8 array; raises MocoError for others."""
        if not isinstance(image, PIL.Image.Image | np.ndarray):
            opened = f"PIL.Image.open({str(image)!r})" if isinstance(image, str | os.PathLike) else "a PIL image"
            raise MocoError(f"a {type(image).__name__} is no image: give {opened} or an H x W x 3 uint8 array")
        pixels = image_pixels(image) if isinstance(image, PIL.Image.Image) else image
        return self.normalise(self.centre(pixels)[None])[0]

    def centre(self, image: NDArray[np.uint8]) -> Tensor:
        """uint8, 3 x S x S, of an H x W x 3 image: resized by PIL, as in the official pipeline, and cut out.

        Raises MocoError for anything but H x W x 3 of uint8.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise MocoError(f"an image must be H x W x 3 uint8, not {image.shape} of {image.dtype}")
        height, width = image.shape[:2]
        short = self.short_side
        if height <= width:
            resized_size = (max(self.size, short * width // height), short)
        else:
            resized_size = (short, max(self.size, short * height // width))
        whole = PIL.Image.fromarray(image)
        if whole.size != resized_size:
            whole = whole.resize(resized_size, PIL.Image.Resampling.BILINEAR)
        left, top = ((side - self.size) / 2.0 for side in whole.size)
        box = (round(left), round(top), round(left) + self.size, round(top) + self.size)
        return torch.from_numpy(np.array(whole.crop(box))).permute(2, 0, 1).contiguous()

    def normalise(self, images: Tensor) -> Tensor:
        """float32, N x 3 x S x S, of uint8 images, on their device."""
        mean, std = (
            torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (self.normalize.mean, self.normalize.std)
        )
        return (images.float() / 255 - mean) / std
