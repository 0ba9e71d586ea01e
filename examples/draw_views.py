"""Draw the named sets of views: an image and six views of it for each.

    python examples/draw_views.py docs/views.png [CELLS.png]

Photographs come with scikit-learn; for `microscopy` a picture of cells can be given. What is no photograph is made from
one, or drawn here.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from moco.data.demo import Demo
from moco.data.picture import picture
from moco.recipe import VIEWS, Normalize, Pixels, v2
from moco.two_views import Views

SIZE = 128


def main(out: str, cells: str | None = None) -> None:
    """Write the picture."""
    flower, china = load_sample_image("flower.jpg"), load_sample_image("china.jpg")
    digit = np.asarray(Image.fromarray(Demo().raw(9)).resize((256, 256), Image.Resampling.BICUBIC))
    slide = np.asarray(Image.open(cells).convert("RGB")) if cells else flower[100:300, 200:400]
    land = np.concatenate([255 - china[..., :1], china[..., :2], china[..., 2:]], axis=2)
    originals = {"photos": flower, "documents": digit, "microscopy": slide, "satellite": china}
    originals |= {"multispectral": land, "radar": speckled(china), "fluorescence": stained(), "xray": bones()}
    figure = Figure(figsize=(11, 13), layout="constrained")
    axes = figure.subplots(len(originals), 7)
    for row, name in zip(axes, originals, strict=True):
        images = [picture(originals[name]), *views_of(name, originals[name], 6)]
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image)
            axis.set_axis_off()
        row[0].set_title(name, loc="left", fontsize=11)
    figure.savefig(out, dpi=90)


def speckled(image: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """A photograph as a radar would show it: one band, each value times noise of its own."""
    random = np.random.default_rng(0)
    gray = image.mean(axis=2, keepdims=True) * random.gamma(6, 1 / 6, (*image.shape[:2], 1))
    return np.clip(gray * 16, 0, 4095).astype(np.uint16)


def stained() -> NDArray[np.uint16]:
    """A drawing of cells in two stains: nuclei in the first band, what lies around them in the second."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:256, :256]
    nuclei, around = np.zeros((2, 256, 256))
    for _ in range(18):
        top, left, size = random.uniform(0, 256), random.uniform(0, 256), random.uniform(8, 15)
        away = ((y - top) ** 2 + (x - left) ** 2) / size**2
        nuclei += random.uniform(0.5, 1) * np.exp(-(away**2))
        around += random.uniform(0.3, 0.8) * np.exp(-((away / 4) ** 2))
    drawn = np.stack([nuclei, around * (1 - 0.7 * np.clip(nuclei, 0, 1))], axis=2) * 3000 + 200
    return np.clip(drawn + random.normal(0, 60, drawn.shape), 0, 4095).astype(np.uint16)


def bones() -> NDArray[np.uint16]:
    """A drawing of ribs and a spine, as thick as they are bright."""
    y, x = (side / 255 for side in np.mgrid[:256, :256])
    body = np.exp(-(((x - 0.5) / 0.38) ** 6)) * 0.35
    spine = np.exp(-(((x - 0.5) / 0.05) ** 4)) * 0.5
    ribs = np.clip(np.sin(40 * (y + 1.2 * (x - 0.5) ** 2)), 0, 1) ** 2 * np.exp(-(((x - 0.5) / 0.3) ** 8)) * 0.3
    heart = np.exp(-((((x - 0.6) / 0.13) ** 2 + ((y - 0.62) / 0.16) ** 2) ** 2)) * 0.3
    return ((body + spine + ribs + heart)[..., None] * 2600 + 100).astype(np.uint16)


def views_of(name: str, image: NDArray[np.generic], n: int) -> list[NDArray[np.generic]]:
    """n views, as a run draws them in n epochs."""
    channels = image.shape[2]
    recipe = replace(v2(), query_view=VIEWS[name], image_size=SIZE)
    if image.dtype != np.uint8 or channels != 3:
        pixels = Pixels(
            bands=tuple(range(channels)),
            of=channels,
            kind=str(image.dtype),  # type: ignore[arg-type]
            black=(0.0,) * channels,
            white=(float(255 if image.dtype == np.uint8 else 4095),) * channels,
        )
        normalize = Normalize(mean=(0.3,) * channels, std=(0.2,) * channels)
        recipe = replace(recipe, pixels=pixels, normalize=normalize)
    views = Views(recipe)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (recipe.normalize.mean, recipe.normalize.std))
    made = []
    for epoch in range(n):
        x, _ = views.finish(views.cut(image, epoch, 0)[None], np.array([0]), epoch)
        shown = (x[0] * std + mean).clamp(0, 1).permute(1, 2, 0).numpy()
        made.append(shown if channels == 3 else picture(shown))
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
