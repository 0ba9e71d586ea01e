"""Curves of a metric over steps, a line for each start, a panel for each share of the labels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moco.run.atomic import write_atomically
from moco.transfer.results import Outcome

Floats = NDArray[np.float64]


def draw_curves(path: Path, metric: str, outcomes: Sequence[Outcome]) -> None:
    """Write a PNG: the mean over seeds, and between the lowest and the highest seed a shade."""
    from matplotlib.figure import Figure

    shares = list(dict.fromkeys(one.trial.labels for one in outcomes))
    figure = Figure(figsize=(1.5 + 4 * len(shares), 3.6), layout="constrained")
    panels = figure.subplots(1, len(shares), squeeze=False, sharey=True)[0]
    for panel, share in zip(panels, shares, strict=True):
        here = [one for one in outcomes if one.trial.labels == share]
        for start in dict.fromkeys(one.start for one in here):
            steps, values = _over_seeds([one for one in here if one.start == start], metric)
            if not len(steps):
                continue
            (line,) = panel.plot(steps, values.mean(axis=0), marker="o", markersize=3, label=start)
            if len(values) > 1:
                panel.fill_between(steps, values.min(axis=0), values.max(axis=0), alpha=0.2, color=line.get_color())
        panel.set_xlabel("steps")
        panel.set_title(f"{share:.0%} of the labels", fontsize=10)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"{metric} (points)")
    panels[0].legend(fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_atomically(path, lambda file: file.write(buffer.getvalue()))


def _over_seeds(outcomes: Sequence[Outcome], metric: str) -> tuple[Floats, Floats]:
    """(steps at which all seeds were judged, seeds x steps of the metric in points)."""
    curves = [{row["step"]: row[metric] for row in one.rows if row.get(metric) is not None} for one in outcomes]
    steps = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    values = [[100 * curve[s] for s in steps] for curve in curves]
    return np.array(steps, dtype=np.float64), np.array(values, dtype=np.float64)
