"""How alike two images are to an encoder, and which parts of them make it so: by hiding one part after the other.

Occlusion (Zeiler and Fergus, arXiv:1311.2901, section 4.1) asks the encoder itself, and no gradient or attention map in
its place, so it is as honest for a ResNet as for a ViT. The sliding window is captum's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from moco.data.decode import decode
from moco.data.picture import picture
from moco.data.source import Source, Unreadable
from moco.device import Placement
from moco.errors import MocoError
from moco.pages.tiles import Tile, tile
from moco.preprocess import Preprocess

MOST_CELLS = 7
"""Places of the window in a row at most."""
LEAST_CELLS = 4
NOTHING = 0.03
"""A fall of the cosine that says nothing: no single part matters."""


@dataclass(frozen=True)
class Reason:
    """Where hiding a part of one image makes it less like the other."""

    cosine: float
    lowest: float
    """The cosine with the part hidden that matters most."""
    heat: NDArray[np.float64]
    """S x S, 0 to 1: how far the cosine falls when a pixel is hidden, on average over the windows that hide it, as a
    share of the largest; 0 where it does not fall."""

    @property
    def matters(self) -> bool:
        """Whether any part matters by itself."""
        return self.cosine - self.lowest > NOTHING


def refuse_without_captum() -> None:
    """Raise MocoError, with what to install, where captum is not there."""
    try:
        import captum.attr  # noqa: F401
    except ImportError:
        raise MocoError(
            'captum is not installed; pip install "momentum-contrast[attention]", then moco report again'
        ) from None


def cells_for(forwards: int, images: int) -> int:
    """Places of the window in a row, where `images` images may take so many passes in all."""
    return max(LEAST_CELLS, min(MOST_CELLS, math.isqrt(max(1, forwards // max(1, images)))))


@torch.no_grad()
def reasons(
    backbone: nn.Module, pairs: Sequence[tuple[Tensor, Tensor]], placement: Placement, cells: int
) -> list[Reason]:
    """For each pair of normalised images (C x S x S): what in the first makes it like the second.

    A window of two cells of a grid of `cells` x `cells` is slid by one, and hides what is beneath it behind the mean of
    all images. Raises MocoError where captum is not installed.
    """
    refuse_without_captum()
    from captum.attr import Occlusion

    backbone = placement.put(backbone).eval()
    found = []
    for image, other in pairs:
        x, y = (one[None].to(placement.device) for one in (image, other))
        with placement.autocast():
            target = F.normalize(backbone(y).float(), dim=1)

        seen: list[float] = []

        def cosine(batch: Tensor, target: Tensor = target, seen: list[float] = seen) -> Tensor:
            with placement.autocast():
                found = (F.normalize(backbone(batch).float(), dim=1) * target).sum(dim=1)
            seen += found.tolist()
            return found

        channels, side = x.shape[1], x.shape[2]
        stride = max(1, side // cells)
        window = min(side, 2 * stride)
        whole = float(cosine(x)[0])
        falls = Occlusion(cosine).attribute(
            x,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            baselines=0,
            perturbations_per_eval=16,
        )
        fall = falls[0].mean(dim=0).cpu().double().clamp(min=0).numpy()
        most = float(fall.max())
        found.append(Reason(whole, min(seen), fall / most if most > 0 else fall))
    return found


@dataclass(frozen=True)
class Shown:
    """An image, the same lit where it is like the other, and the other."""

    image: Tile
    light: Tile
    other: Tile
    cosine: float
    lowest: float
    matters: bool


def shown_reasons(
    source: Source,
    backbone: nn.Module,
    preprocess: Preprocess,
    placement: Placement,
    pairs: Sequence[tuple[int, int]],
    passes: int,
) -> list[Shown]:
    """What makes the first image of each pair like the second (positions in the source), in so many passes in all.

    Raises MocoError where captum is not installed. Pairs that can no longer be read are left out.
    """
    refuse_without_captum()
    readable = []
    for one, two in pairs:
        try:
            readable.append((one, two, [preprocess.centre(decode(source.raw(i))) for i in (one, two)]))
        except Unreadable:
            continue
    given = [tuple(preprocess.normalise(x[None])[0] for x in images) for _, _, images in readable]
    found = reasons(backbone, [(a, b) for a, b in given], placement, cells_for(passes, len(given)))
    made = []
    for (one, two, images), reason in zip(readable, found, strict=True):
        first, second = (_pixels(x) for x in images)
        light = tile(lit(first, reason.heat), f"{source.name(one)}, lit where it is like the other")
        image, other = tile(first, source.name(one)), tile(second, source.name(two))
        made.append(Shown(image, light, other, reason.cosine, reason.lowest, reason.matters))
    return made


def _pixels(centre: Tensor) -> NDArray[np.uint8]:
    """What `Preprocess.centre` made, C x S x S, as a picture."""
    return picture(centre.permute(1, 2, 0).numpy())


def lit(pixels: NDArray[np.uint8], heat: NDArray[np.float64]) -> NDArray[np.uint8]:
    """An image, H x W x 3, bright where hiding a part matters, and dark where it does not; heat is H x W."""
    bright = 0.22 + 0.78 * heat[..., None]
    return np.rint(pixels * bright).astype(np.uint8)
