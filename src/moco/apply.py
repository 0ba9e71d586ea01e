"""The pixels of views, worked on in batches without waiting for the device.

On a CPU with Numba (`pip install 'momentum-contrast[fast]'`) an image goes through kernels compiled for it, several
images at a time on as many threads as torch has; elsewhere, and where Numba is missing, through tensor functions, which
are their twins: equal to 1e-5 of the range of values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from moco.drawn import Draws, Photometry, rows_of
from moco.ops.blur import blur, blur_radius
from moco.ops.colour import grayscale, jitter, solarize
from moco.ops.crop import beside, crop_resize, turn
from moco.ops.kernels import kernels
from moco.ops.steps import steps_of
from moco.recipe.drawn import Normalize, View

CHUNK = 1 << 19
"""Values per CPU thread that are worked on at a time: few enough for the caches, enough to outweigh the calls."""


def apply(
    view: View,
    draws: Draws,
    pixels: Tensor,
    size: int,
    normalize: Normalize | None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Views float32 N x 3 x size x size of images uint8 N x 3 x H x W, padded at the bottom and right.

    `normalize` None leaves values in [0, 1].
    """
    out = empty(pixels, 3, size, memory_format)
    if (fused := fused_for(pixels)) is None:
        return apply_plain(view, draws, pixels, out, normalize)
    source = pixels.contiguous().numpy()

    def work(part: slice) -> None:
        g = rows_of(draws.geometry, part)
        crops = torch.empty(len(g.boxes), 3, size, size)
        fused.crop(crops.numpy(), source[part], g.boxes, g.flip, g.flip_vertical)
        _develop(fused, out[part], view, rows_of(draws.photometry, part), turn(crops, g.quarter)[:, None], 0, normalize)

    on_all_threads(work, len(pixels))
    return out


def apply_plain(view: View, draws: Draws, pixels: Tensor, out: Tensor, normalize: Normalize | None) -> Tensor:
    """`apply` as tensor functions, written into `out`: a few images at a time on a CPU, all at once on a GPU."""
    size = out.shape[-1]
    for part in parts(pixels, max(pixels.shape[1:].numel(), 3 * size * size)):
        g = rows_of(draws.geometry, part)
        x = turn(crop_resize(pixels[part], g.boxes, size, g.flip, g.flip_vertical), g.quarter)
        _photometry_into(out[part], view, rows_of(draws.photometry, part), x, normalize)
    return out


def finish(
    view: View,
    photometry: Photometry,
    crops: Tensor,
    normalize: Normalize | None,
    memory_format: torch.memory_format = torch.contiguous_format,
    number: int = 0,
) -> Tensor:
    """Views of crops that were cut, flipped and turned elsewhere.

    `crops` are uint8, or float32 in [0, 1]: N x 3 x S x S, or N x V x 3 x S x S of which view `number` is taken.
    """
    crops = crops[:, None] if crops.ndim == 4 else crops
    out = empty(crops, 3, crops.shape[-1], memory_format)
    if (fused := fused_for(crops)) is None:
        return finish_plain(view, photometry, crops[:, number], out, normalize)

    def work(part: slice) -> None:
        _develop(fused, out[part], view, rows_of(photometry, part), crops[part], number, normalize)

    on_all_threads(work, len(crops))
    return out


def finish_plain(view: View, photometry: Photometry, crops: Tensor, out: Tensor, normalize: Normalize | None) -> Tensor:
    """`finish` as tensor functions, written into `out`."""
    for part in parts(crops, crops.shape[1:].numel()):
        x = crops[part] if crops.is_floating_point() else crops[part].float().div_(255)
        _photometry_into(out[part], view, rows_of(photometry, part), x, normalize)
    return out


def fused_for(x: Tensor) -> ModuleType | None:
    """The compiled kernels, where x is on a CPU and there are any."""
    return kernels() if x.device.type == "cpu" else None


def _develop(
    fused: ModuleType, out: Tensor, view: View, p: Photometry, crops: Tensor, number: int, normalize: Normalize | None
) -> None:
    """Photometry and normalisation of crops (N x V x 3 x S x S, view `number`), compiled."""
    columns = {"jitter": (p.brightness, p.contrast, p.saturation, p.hue), "blur": (p.sigma,)}
    switches = {"jitter": p.jitter, "gray": p.gray, "blur": p.blur, "solarize": p.solarize}
    steps, values, counts = steps_of(view.order, switches, columns, p.order)
    mean, std = (
        np.array(v, np.float64) for v in ((normalize.mean, normalize.std) if normalize else ((0,) * 3, (1,) * 3))
    )
    interleaved = not out.is_contiguous()
    flat = out.permute(0, 2, 3, 1) if interleaved else out
    fused.develop(
        flat.reshape(len(out), -1).numpy(),
        crops.contiguous().flatten(3).numpy(),
        number,
        np.float32(1 if crops.is_floating_point() else 1 / 255),
        steps,
        values,
        counts,
        blur_radius(view.blur.sigma[1], out.shape[-1]),
        (1 / std).astype(np.float32),
        (-mean / std).astype(np.float32),
        interleaved,
    )


def on_all_threads(work: Callable[[slice], None], images: int) -> None:
    """All images, on as many threads as torch has; two slices for each, because some take longer."""
    threads = torch.get_num_threads()
    rows = -(-images // (1 if threads == 1 else 2 * threads))
    parts = [slice(i, i + rows) for i in range(0, images, rows)]
    if threads == 1 or len(parts) == 1:
        for part in parts:
            work(part)
    else:
        list(_pool(threads).map(work, parts))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "views")


def _photometry_into(out: Tensor, view: View, p: Photometry, x: Tensor, normalize: Normalize | None) -> None:
    """Write the four operations in the order of the view, then normalisation, into `out`."""
    for operation in view.order:
        match operation:
            case "jitter":
                x = jitter(x, p.brightness, p.contrast, p.saturation, p.hue, p.order, p.jitter)
            case "gray":
                x = grayscale(x, p.gray)
            case "blur":
                x = blur(x, p.sigma, p.blur, blur_radius(view.blur.sigma[1], x.shape[-1]))
            case "solarize":
                x = solarize(x, p.solarize)
    if normalize is None:
        out.copy_(x)
    else:
        normalize_into(out, x, normalize)


def normalize_into(out: Tensor, x: Tensor, normalize: Normalize) -> Tensor:
    """Write x less the means over the standard deviations of its channels into `out`."""
    mean, std = (beside(x, np.array(values))[:, None, None] for values in (normalize.mean, normalize.std))
    return torch.sub(x, mean, out=out).div_(std)


def empty(like: Tensor, channels: int, size: int, memory_format: torch.memory_format) -> Tensor:
    """Room for views, on the device of the images."""
    return torch.empty(len(like), channels, size, size, device=like.device, memory_format=memory_format)


def parts(pixels: Tensor, values: int) -> Iterator[slice]:
    """Slices of a batch whose images have this many values: what fits the caches of a CPU; all at once elsewhere."""
    rows = max(1, torch.get_num_threads() * CHUNK // values) if pixels.device.type == "cpu" else max(1, len(pixels))
    return (slice(i, i + rows) for i in range(0, len(pixels), rows))
