"""The pixels of views whose images are no photographs: any number of bands, of any type, in the range of the data set.

The same geometry and the same steps as in `apply`, band by band; saturation, hue and the loss of colour where there is
red, green and blue. What is drawn for single bands, and noise, come last and serve photographs as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.apply import empty, finish, fused_for, normalize_into, on_all_threads, parts
from moco.drawn import Disturbance, Draws, Photometry, rows_of
from moco.ops.bands import gain_and_drop, jitter_bands, noise, to_unit
from moco.ops.blur import blur, blur_radius
from moco.ops.colour import solarize
from moco.ops.crop import crop_values, turn
from moco.ops.steps import steps_of
from moco.recipe.drawn import Normalize, View
from moco.recipe.pixels import Pixels

_AT_ONCE = 1 << 18
"""Values that are cropped before they are worked on: few enough to be in a cache still."""


def apply_bands(
    view: View,
    draws: Draws,
    pixels: Tensor,
    size: int,
    of: Pixels,
    normalize: Normalize,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Views float32 N x C x size x size of images N x C x H x W as `of` says, padded at the bottom and right."""
    g = draws.geometry
    if (fused := fused_for(pixels)) is None or of.colour == "rgb":
        per_image = max(pixels.shape[1:].numel(), of.channels * size * size)
        cropped = [
            crop_values(pixels[part], g.boxes[part], size, g.flip[part], g.flip_vertical[part])
            for part in parts(pixels, per_image)
        ]
        crops = turn(torch.cat(cropped), g.quarter)
        return finish_bands(view, draws.photometry, crops, of, normalize, memory_format)
    source = pixels.contiguous().numpy()
    out = empty(pixels, of.channels, size, memory_format)
    few = max(1, _AT_ONCE // out[0].numel())

    def work(some: slice) -> None:
        g = rows_of(draws.geometry, some)
        boxes, images = g.boxes.astype(np.float64), source[some]
        develop = _developer(out[some], view, rows_of(draws.photometry, some), of, normalize)
        room = np.empty((min(few, len(images)), of.channels, size, size), np.float32)
        for first in range(0, len(images), few):
            part = slice(first, first + few)
            crops = room[: len(boxes[part])]
            fused.crop_bands(crops, images[part], boxes[part], g.flip[part], g.flip_vertical[part])
            if g.quarter[part].any():
                crops = turn(torch.from_numpy(crops), g.quarter[part]).numpy()
            develop(crops.reshape(len(crops), 1, of.channels, -1), 0, part)

    on_all_threads(work, len(pixels))
    return out


def finish_bands(
    view: View,
    photometry: Photometry,
    crops: Tensor,
    of: Pixels,
    normalize: Normalize,
    memory_format: torch.memory_format = torch.contiguous_format,
    number: int = 0,
) -> Tensor:
    """Views of crops that were cut, flipped and turned elsewhere, in the values of the files.

    `crops` are N x C x S x S, or N x V x C x S x S of which view `number` is taken.
    """
    crops = crops[:, None] if crops.ndim == 4 else crops
    if of.colour == "rgb":
        return finish(view, photometry, to_unit(crops[:, number], *of.scale), normalize, memory_format)
    out = empty(crops, of.channels, crops.shape[-1], memory_format)
    if fused_for(crops) is None:
        return finish_bands_plain(view, photometry, crops[:, number], out, of, normalize)
    values = crops.contiguous().flatten(3).numpy()

    def work(some: slice) -> None:
        _developer(out[some], view, rows_of(photometry, some), of, normalize)(values[some], number, slice(None))

    on_all_threads(work, len(crops))
    return out


def finish_bands_plain(
    view: View, photometry: Photometry, crops: Tensor, out: Tensor, of: Pixels, normalize: Normalize
) -> Tensor:
    """`finish_bands` as tensor functions, written into `out`."""
    for part in parts(crops, crops.shape[1:].numel()):
        p = rows_of(photometry, part)
        x = to_unit(crops[part], *of.scale)
        for operation in view.order:
            match operation:
                case "jitter":
                    x = jitter_bands(x, p.brightness, p.contrast, p.order, p.jitter)
                case "blur":
                    x = blur(x, p.sigma, p.blur, blur_radius(view.blur.sigma[1], x.shape[-1]))
                case "solarize":
                    x = solarize(x, p.solarize)
                case "gray":
                    pass  # there is no colour to lose
        normalize_into(out[part], x, normalize)
    return out


def disturb(view: View, d: Disturbance, x: Tensor, normalize: Normalize) -> Tensor:
    """Finished views (N x C x S x S) with what is done to single bands, and noise."""
    mean, std = (np.array(v, np.float64) for v in (normalize.mean, normalize.std))
    zero = -mean / std
    if d.speckle.any():
        own = _column(x, d.speckle)
        black = torch.from_numpy(zero.astype(np.float32)).to(x.device)[:, None, None]
        x = torch.addcmul(x, (x - black) * own, noise(x.shape, d.key, x.device))
    if d.gaussian.any():
        unit = torch.from_numpy((1 / std).astype(np.float32)).to(x.device)[:, None, None]
        x = torch.addcmul(x, _column(x, d.gaussian) * unit, noise(x.shape, ~d.key, x.device))
    bands = view.bands
    if bands.gain or bands.offset or bands.drop:
        x = gain_and_drop(x, d.gain, d.offset / std, d.keep, zero)
    return x


def disturbs(view: View) -> bool:
    """Whether `disturb` does anything in this view."""
    n, b = view.noise, view.bands
    return bool(n.p and (n.gaussian or n.speckle)) or bool(b.gain or b.offset or b.drop)


def _column(x: Tensor, values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(x.device)[:, None, None, None]


@cache
def _bands_module() -> ModuleType:
    from moco.ops import fused_bands

    return fused_bands


def _developer(
    out: Tensor, view: View, p: Photometry, of: Pixels, normalize: Normalize
) -> Callable[[NDArray[Any], int, slice], None]:
    """What writes into some of `out` the views of their crops (values N x V x C x S*S, view `number`)."""
    kernel = _bands_module()
    columns = {"jitter": (p.brightness, p.contrast, p.saturation, p.hue), "blur": (p.sigma,)}
    switches = {"jitter": p.jitter, "gray": p.gray, "blur": p.blur, "solarize": p.solarize}
    steps, amounts, counts = steps_of(view.order, switches, columns, p.order)
    mean, std = (np.array(v, np.float64) for v in (normalize.mean, normalize.std))
    interleaved = not out.is_contiguous()
    flat = (out.permute(0, 2, 3, 1) if interleaved else out).reshape(len(out), -1).numpy()
    unit, scale = np.array(of.scale, np.float32), np.stack([1 / std, -mean / std]).astype(np.float32)
    radius = blur_radius(view.blur.sigma[1], out.shape[-1])

    def develop(values: NDArray[Any], number: int, part: slice) -> None:
        kernel.develop_bands(
            flat[part], values, number, unit, steps[part], amounts[part], counts[part], radius, scale, interleaved
        )

    return develop
