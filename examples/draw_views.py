"""Draw the named sets of views: an image and six views of it for each.

    python examples/draw_views.py docs/views.png [CELLS.png]

Photographs come with scikit-learn; for `microscopy` a picture of cells can be given.
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
from moco.recipe import VIEWS, v2
from moco.views import Views

SIZE = 128


def main(out: str, cells: str | None = None) -> None:
    """Write the picture."""
    flower, china = load_sample_image("flower.jpg"), load_sample_image("china.jpg")
    digit = np.asarray(Image.fromarray(Demo().raw(9)).resize((256, 256), Image.Resampling.BICUBIC))
    slide = np.asarray(Image.open(cells).convert("RGB")) if cells else flower[100:300, 200:400]
    originals = {"photos": flower, "documents": digit, "microscopy": slide, "satellite": china}
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    axes = figure.subplots(len(VIEWS), 7)
    for row, name in zip(axes, VIEWS, strict=True):
        images = [originals[name], *views_of(name, originals[name], 6)]
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image)
            axis.set_axis_off()
        row[0].set_title(name, loc="left", fontsize=11)
    figure.savefig(out, dpi=110)


def views_of(name: str, image: NDArray[np.uint8], n: int) -> list[NDArray[np.float32]]:
    """n views, as a run draws them in n epochs."""
    recipe = replace(v2(), query_view=VIEWS[name], image_size=SIZE)
    views = Views(recipe)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (recipe.normalize.mean, recipe.normalize.std))
    made = []
    for epoch in range(n):
        x, _ = views.finish(views.cut(image, epoch, 0)[None], np.array([0]), epoch)
        made.append((x[0] * std + mean).clamp(0, 1).permute(1, 2, 0).numpy())
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
