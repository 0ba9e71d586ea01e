"""What is done to images of any number of bands, of which none is red, green or blue; and noise.

Brightness and contrast act on each band by itself. Gain, offset and the dropping of whole bands are drawn for each
band; noise for each value, by a hash of its place, so that it is the same in any batch and on any device.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.ops.colour import BRIGHTNESS, CONTRAST
from moco.ops.crop import beside

Floats = NDArray[np.float64]
Switch = NDArray[np.bool_]


def to_unit(x: Tensor, gain: tuple[float, ...], offset: tuple[float, ...]) -> Tensor:
    """float32 in [0, 1] of values N x C x H x W: times gain plus offset for each channel, clipped."""
    shape = (1, -1, 1, 1)
    g, o = (beside(x, np.array(v, np.float64)).view(shape) for v in (gain, offset))
    return torch.addcmul(o, x.float(), g).clamp_(0, 1)


def jitter_bands(x: Tensor, brightness: Floats, contrast: Floats, order: NDArray[np.int64], on: Switch) -> Tensor:
    """Brightness and contrast of the images (N x C x S x S in [0, 1]) that are `on`, each band about its own mean.

    `order` is that of `colour.jitter`; what it says of saturation and hue has no meaning here.
    """
    chosen = np.flatnonzero(on)
    if not len(chosen):
        return x
    where = beside(x, chosen)
    y = x.index_select(0, where)
    factors = np.stack([brightness, contrast, np.ones_like(contrast), np.ones_like(contrast)], 1)[chosen]
    for step in order[chosen].T:
        own = np.take_along_axis(factors, step[:, None], 1)[:, 0]
        rest = np.where(step == CONTRAST, 1 - own, 0.0)
        own_, rest_ = (beside(x, v)[:, None, None, None] for v in (own, rest))
        y = torch.addcmul(y.mean((2, 3), keepdim=True) * rest_, y, own_).clamp_(0, 1)
    return y if len(chosen) == len(x) else x.index_copy(0, where, y)


def jitter_bands_plain(x: Tensor, brightness: Floats, contrast: Floats, order: NDArray[np.int64], on: Switch) -> Tensor:
    """`jitter_bands`, band by band."""
    out = x.clone()
    for i in np.flatnonzero(on):
        for step in order[i]:
            for c in range(x.shape[1]):
                if step == BRIGHTNESS:
                    out[i, c] = (out[i, c] * brightness[i]).clamp(0, 1)
                elif step == CONTRAST:
                    mean = out[i, c].mean()
                    out[i, c] = ((out[i, c] - mean) * contrast[i] + mean).clamp(0, 1)
    return out


def gain_and_drop(x: Tensor, gain: Floats, offset: Floats, keep: Switch, zero: Floats) -> Tensor:
    """x (N x C x S x S, where black is `zero` (C) and white one more in units of `offset`) with its bands changed.

    Each band is multiplied about black by its gain and moved by its offset (both N x C); what is not kept (N x C)
    becomes 0, which is the mean of a normalised band.
    """
    own = np.where(keep, gain, 0.0)
    rest = np.where(keep, offset + zero * (1 - gain), 0.0)
    own_, rest_ = (beside(x, v)[:, :, None, None] for v in (own, rest))
    return torch.addcmul(rest_, x, own_)


def gain_and_drop_plain(x: Tensor, gain: Floats, offset: Floats, keep: Switch, zero: Floats) -> Tensor:
    """`gain_and_drop`, band by band."""
    out = torch.zeros_like(x)
    for i, c in zip(*np.nonzero(keep), strict=True):
        out[i, c] = (x[i, c] - zero[c]) * gain[i, c] + zero[c] + offset[i, c]
    return out


def noise(shape: torch.Size, key: NDArray[np.uint64], device: torch.device) -> Tensor:
    """float32 of shape N x C x S x S: standard normal numbers, for each image a function of its key (N) alone."""
    count = math.prod(shape[1:])
    place = torch.arange(count, device=device, dtype=torch.int64)
    low, high = (torch.from_numpy((key >> np.uint64(s) & np.uint64(0xFFFFFFFF)).astype(np.int64)) for s in (0, 32))
    u = _hash(_hash(place) ^ low.to(device)[:, None])
    v = _hash(u ^ high.to(device)[:, None])
    radius = ((u >> 8) + 1).float().mul_(2.0**-24).log_().mul_(-2).sqrt_()
    angle = (v >> 8).float().mul_(2 * math.pi * 2.0**-24)
    return angle.cos_().mul_(radius).view(shape)


def noise_plain(shape: torch.Size, key: NDArray[np.uint64]) -> NDArray[np.float64]:
    """`noise`, in NumPy and double precision."""

    def spread(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        mask = np.uint64(0xFFFFFFFF)
        x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D)) & mask
        x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B)) & mask
        return x ^ (x >> np.uint64(16))

    place = spread(np.arange(math.prod(shape[1:]), dtype=np.uint64))
    u = spread(place ^ (key & np.uint64(0xFFFFFFFF))[:, None])
    v = spread(u ^ (key >> np.uint64(32))[:, None])
    radius = np.sqrt(-2 * np.log(((u >> np.uint64(8)) + np.uint64(1)) * 2.0**-24))
    return np.asarray(radius * np.cos(2 * np.pi * (v >> np.uint64(8)) * 2.0**-24)).reshape(shape)


def _hash(x: Tensor) -> Tensor:
    """32 well-mixed bits of 32 bits, in int64: lowbias32 (Wellons, 2018), whose products wrap around as they should."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)
