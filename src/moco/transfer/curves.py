"""Curves of a metric: over steps for each share of the labels, and over those shares; a line for each start."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from moco.run.atomic import write_atomically
from moco.transfer.results import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


def draw_curves(path: Path, metric: str, outcomes: Sequence[Outcome]) -> None:
    """Write a PNG: the mean over seeds, and between the lowest and the highest seed a shade."""
    from matplotlib.figure import Figure

    shares = list(dict.fromkeys(one.trial.labels for one in outcomes))
    starts = list(dict.fromkeys(one.start for one in outcomes))
    columns = len(shares) + (len(shares) > 1)
    figure = Figure(figsize=(1.5 + 4 * columns, 3.6), layout="constrained")
    panels = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for panel, share in zip(panels, shares, strict=False):
        here = [one for one in outcomes if one.trial.labels == share]
        for start in starts:
            _line(panel, start, *_over_seeds([one for one in here if one.start == start], metric))
        panel.set_xlabel("steps")
        panel.set_title(f"{share:.0%} of the labels", fontsize=10)
    if len(shares) > 1:
        for start in starts:
            _line(panels[-1], start, *_over_shares([one for one in outcomes if one.start == start], metric))
        panels[-1].set_xlabel("labels (%)")
        panels[-1].set_xscale("log")
        panels[-1].set_title("at the end", fontsize=10)
    for panel in panels:
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"{metric} (points)")
    panels[0].legend(fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_atomically(path, lambda file: file.write(buffer.getvalue()))


def _line(panel: Axes, start: str, x: Floats, values: Floats) -> None:
    """The mean, and a shade from the lowest to the highest (seeds x points)."""
    if len(x):
        (line,) = panel.plot(x, values.mean(axis=0), marker="o", markersize=3, label=start)
        if len(values) > 1:
            panel.fill_between(x, values.min(axis=0), values.max(axis=0), alpha=0.2, color=line.get_color())


def _over_shares(outcomes: Sequence[Outcome], metric: str) -> tuple[Floats, Floats]:
    """(shares of the labels in percent; seeds x shares of the last metric in points), of seeds that have all."""
    ends = {(one.trial.seed, one.trial.labels): one.scores[metric] for one in outcomes if metric in one.scores}
    shares = sorted({share for _, share in ends})
    seeds = [seed for seed in sorted({seed for seed, _ in ends}) if all((seed, share) in ends for share in shares)]
    values = [[100 * ends[seed, share] for share in shares] for seed in seeds]
    return np.array([100 * share for share in shares] if seeds else []), np.array(values, dtype=np.float64)


def _over_seeds(outcomes: Sequence[Outcome], metric: str) -> tuple[Floats, Floats]:
    """(steps at which all seeds were judged, seeds x steps of the metric in points)."""
    curves = [{row["step"]: row[metric] for row in one.rows if row.get(metric) is not None} for one in outcomes]
    steps = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    values = [[100 * curve[s] for s in steps] for curve in curves]
    return np.array(steps, dtype=np.float64), np.array(values, dtype=np.float64)
