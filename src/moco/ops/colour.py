"""Colour jitter, loss of colour and solarisation of a whole batch at once.

Brightness, contrast and saturation each blend an image with something darker, flatter or grayer, so that one affine
expression with coefficients per image serves all three: own * x + gray * (gray of x) + mean * (mean gray of x).
The hue is another matter, and worked on for the images whose turn it is.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

from moco.ops.crop import beside

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""What the numbers in `order` stand for, as in torchvision's ColorJitter."""

Floats = NDArray[np.float64]


def jitter(
    x: Tensor,
    brightness: Floats,
    contrast: Floats,
    saturation: Floats,
    hue: Floats,
    order: NDArray[np.int64],
    on: NDArray[np.bool_],
) -> Tensor:
    """Colour jitter of the images (N x 3 x S x S in [0, 1]) that are `on`; the others stay exactly as they are.

    Three factors and a hue shift (in turns) per image, applied in its own order (N x 4, of BRIGHTNESS, CONTRAST,
    SATURATION, HUE), each result clamped to [0, 1]; equal to torchvision's `adjust_*` of float images.
    """
    chosen = np.flatnonzero(on)
    if not len(chosen):
        return x
    where = beside(x, chosen)
    y = x.index_select(0, where).flatten(2)
    factors = np.stack([brightness, contrast, saturation, np.ones_like(hue)], 1)[chosen]
    shift = hue[chosen]
    steps = order[chosen].T
    coefficients = beside(x, np.stack([_coefficients(step, factors) for step in steps]))[..., None, None]

    for step, (own, gray, mean) in zip(steps, coefficients, strict=True):
        y = _blend(y, own, gray, mean)
        turned = np.flatnonzero((step == HUE) & (shift != 0))
        if len(turned):
            these = beside(x, turned)
            y.index_copy_(0, these, _shift_hue(y.index_select(0, these), beside(x, shift[turned])[:, None]))
    y = y.view(-1, *x.shape[1:])
    return y if len(chosen) == len(x) else x.index_copy(0, where, y)


def jitter_plain(
    x: Tensor,
    brightness: Floats,
    contrast: Floats,
    saturation: Floats,
    hue: Floats,
    order: NDArray[np.int64],
    on: NDArray[np.bool_],
) -> Tensor:
    """`jitter`, image by image with torchvision."""
    images = list(x)
    for i in np.flatnonzero(on):
        for step in order[i]:
            match step:
                case 0:
                    images[i] = functional.adjust_brightness(images[i], float(brightness[i]))
                case 1:
                    images[i] = functional.adjust_contrast(images[i], float(contrast[i]))
                case 2:
                    images[i] = functional.adjust_saturation(images[i], float(saturation[i]))
                case 3:
                    images[i] = functional.adjust_hue(images[i], float(hue[i]))
    return torch.stack(images)


def grayscale(x: Tensor, on: NDArray[np.bool_]) -> Tensor:
    """The images (N x 3 x S x S) that are `on` without colour, in three equal channels (ITU-R 601 luma)."""
    chosen = np.flatnonzero(on)
    if not len(chosen):
        return x
    where = beside(x, chosen)
    return x.index_copy(0, where, _gray(x.index_select(0, where)).expand(-1, 3, -1, -1))


def grayscale_plain(x: Tensor, on: NDArray[np.bool_]) -> Tensor:
    """`grayscale`, image by image with torchvision."""
    return torch.stack(
        [functional.rgb_to_grayscale(v, num_output_channels=3) if o else v for v, o in zip(x, on, strict=True)]
    )


def solarize(x: Tensor, on: NDArray[np.bool_], threshold: float = 0.5) -> Tensor:
    """The images (N x 3 x S x S in [0, 1]) that are `on` with all values from `threshold` upwards inverted."""
    chosen = np.flatnonzero(on)
    if not len(chosen):
        return x
    where = beside(x, chosen)
    y = x.index_select(0, where)
    return x.index_copy(0, where, torch.where(y >= threshold, 1 - y, y))


def solarize_plain(x: Tensor, on: NDArray[np.bool_], threshold: float = 0.5) -> Tensor:
    """`solarize`, image by image with torchvision."""
    return torch.stack([functional.solarize(v, threshold) if o else v for v, o in zip(x, on, strict=True)])


def _coefficients(step: NDArray[np.int64], factors: Floats) -> Floats:
    """3 x N: own, gray and mean for the operation that each image is at; 1, 0, 0 for the hue, which changes nothing."""
    own = np.take_along_axis(factors, step[:, None], 1)[:, 0]
    return np.stack([own, np.where(step == SATURATION, 1 - own, 0), np.where(step == CONTRAST, 1 - own, 0)])


def _gray(x: Tensor) -> Tensor:
    """N x 1 x ... from N x 3 x ..."""
    return (x[:, 0:1] * 0.2989).add_(x[:, 1:2], alpha=0.587).add_(x[:, 2:3], alpha=0.114)


def _blend(x: Tensor, own: Tensor, gray: Tensor, mean: Tensor) -> Tensor:
    """own x + gray (gray of x) + mean (mean gray of x), in [0, 1]: x is N x 3 x P, the coefficients N x 1 x 1."""
    g = _gray(x)
    rest = g.mean(2, keepdim=True).mul_(mean)
    return torch.addcmul(g.mul_(gray).add_(rest), x, own).clamp_(0, 1)


def _shift_hue(x: Tensor, shift: Tensor) -> Tensor:
    """The hue of x (N x 3 x P) moved on by `shift` turns (N x 1), its saturation and value kept.

    A channel, as a function of the hue, is a trapezoid between the least and the greatest of the three; red, green
    and blue are a third of a turn apart. That needs no table of six cases, and so no gathering. Selections are made
    with `lerp_` by 0 or 1 and not with `where`, which is ten times slower on a CPU.
    """
    r, g, b = x.unbind(1)
    high = torch.maximum(torch.maximum(r, g), b)
    span = high - torch.minimum(torch.minimum(r, g), b)
    hue = (r - g).add_(span, alpha=4)
    hue.lerp_((b - r).add_(span, alpha=2), (high - g).eq_(0))
    hue.lerp_(g - b, (high - r).eq_(0))
    hue.div_((span + 1e-20).mul_(6)).add_(shift)  # in turns; where span is 0 there is no hue, and any will do

    out = torch.empty_like(x)
    for channel, offset in enumerate((1 / 2, 1 / 6, -1 / 6)):
        away = hue + offset
        away.sub_(away.round()).abs_()  # from the hue at which this channel is least, at most half a turn
        torch.addcmul(high, away.mul_(-6).add_(2).clamp_(0, 1), span, value=-1, out=out[:, channel])
    return out
