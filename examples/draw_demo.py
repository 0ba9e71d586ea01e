"""Draw docs/demo.png from a finished `make demo`: the loss, views of some drawings, and what a few labels are worth.

python examples/draw_demo.py runs/demo docs/demo.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from moco.data.demo import Demo
from moco.run.directory import find_run
from moco.run.log import read_log
from moco.two_views import Views

COLOURS = {"this encoder": "#0b6e4f", "untrained": "#b0b7bf", "pixels": "#7a8794"}


def main(path: str, out: str) -> None:
    """Write the picture."""
    run = find_run(Path(path))
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.15])
    rows = [row for row in read_log(run.log) if "loss" in row]
    left.plot([r["step"] for r in rows], [r["loss"] for r in rows], color=COLOURS["this encoder"])
    left.plot([r["step"] for r in rows], [r["chance"] for r in rows], color="#999999", linestyle=":")
    left.annotate("chance", (rows[-1]["step"], rows[-1]["chance"]), ha="right", va="bottom", color="#777777")
    left.set(title="loss", xlabel="step", ylim=(0, rows[-1]["chance"] * 1.15))
    draw_views(middle, run.recipe())
    draw_scores(right, json.loads(next(run.evaluations.glob("few-labels-*.json")).read_text()))
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=110)


def draw_views(axis, recipe) -> None:
    """Eight drawings (left column of each half) with three views of each."""
    source, views = Demo(), Views(recipe)
    tiles = []
    for i in range(3, 8 * 997, 997):
        image = source.raw(i)
        crops = [views.cut(image, epoch, i)[0] for epoch in range(3)]
        tiles.append(np.concatenate([image, *(c.permute(1, 2, 0).numpy() for c in crops)], axis=1))
    grid = np.concatenate([np.concatenate(tiles[:4]), np.concatenate(tiles[4:])], axis=1)
    axis.imshow(torch.from_numpy(grid).numpy(), interpolation="nearest")
    axis.set(title="drawings, each with three views", xticks=[], yticks=[])
    for x in (32, 128, 160):
        axis.axvline(x - 0.5, color="white", linewidth=2 if x == 128 else 0.8)


def draw_scores(axis, result) -> None:
    """Accuracy for each number of labels."""
    places = np.arange(len(result["columns"]))
    for offset, (name, cells) in enumerate(result["rows"].items()):
        means, spreads = np.array(cells).T * 100
        label = {"this encoder": "features of moco", "untrained": "the network untrained"}.get(name, name)
        axis.bar(places + 0.27 * (offset - 1), means, 0.25, yerr=spreads, color=COLOURS[name], label=label)
    axis.set(title="correct digits (%) of a linear classifier", xticks=places, ylim=(0, 100))
    axis.set_xticklabels([c.replace(" per class", "") for c in result["columns"]])
    axis.set_xlabel("labels per class")
    axis.legend(frameon=False, loc="upper left", fontsize=9)


if __name__ == "__main__":
    main(*sys.argv[1:])
