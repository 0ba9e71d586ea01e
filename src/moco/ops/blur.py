"""Gaussian blur of a whole batch at once, each image with a width of its own."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, pad
from torchvision.transforms.v2 import functional

from moco.ops.crop import beside


def blur_radius(sigma: float, side: int) -> int:
    """Where the kernel is cut off: three standard deviations of the widest blur, less than the side of the view."""
    return min(math.ceil(3 * sigma), side - 1)


def blur(x: Tensor, sigma: NDArray[np.float64], on: NDArray[np.bool_], radius: int) -> Tensor:
    """The images (N x C x S x S) that are `on` under a Gaussian of `sigma` pixels; the others stay exactly as they are.

    Equal to torchvision's `gaussian_blur` with a kernel of 2 radius + 1, the image mirrored at its edges. The official
    pipeline uses PIL's `GaussianBlur`, three box filters that approximate the same Gaussian, with repeated edges.
    """
    chosen = np.flatnonzero(on)
    if not len(chosen):
        return x
    where = beside(x, chosen)
    kernel = beside(x, gaussian(sigma[chosen], radius)).repeat_interleave(x.shape[1], 0)[:, None, None]
    planes = x.index_select(0, where).flatten(0, 1)[None]
    planes = pad(planes, [radius] * 4, mode="reflect")
    planes = conv2d(planes, kernel, groups=len(kernel))
    planes = conv2d(planes, kernel.mT, groups=len(kernel))
    return x.index_copy(0, where, planes.view(len(chosen), *x.shape[1:]))


def blur_plain(x: Tensor, sigma: NDArray[np.float64], on: NDArray[np.bool_], radius: int) -> Tensor:
    """`blur`, image by image with torchvision."""
    images = list(x)
    for i in np.flatnonzero(on):
        images[i] = functional.gaussian_blur(images[i], [2 * radius + 1] * 2, [float(sigma[i])] * 2)
    return torch.stack(images)


def gaussian(sigma: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """N x (2 radius + 1): a Gaussian at whole pixels, of sum 1, for each standard deviation."""
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma[:, None]) ** 2)
    return np.asarray(weight / weight.sum(1, keepdims=True))
