"""The curves of a run: small plain pictures, each with a sentence on how to read it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from moco.run.log import Row

BLUE, ORANGE, GREY, INK = "#2f6fbf", "#d9822b", "#8a929c", "#3c4450"
SIZES = {"wide": (5.8, 3.0), "half": (4.7, 2.5), "third": (3.0, 2.1)}
"""Inches at which a picture is shown at its own size on a page 1,040 px wide."""

MOST_POINTS = 400
"""Points of a curve; more are averaged in groups, so that a long run makes no large page."""

Floats = NDArray[np.float64]

_STYLE: Any = {  # versions of matplotlib differ in how they type it
    "axes.axisbelow": True,
    "axes.edgecolor": "#c3c9d1",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.color": "#e8ebef",
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "moco",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
}


@dataclass(frozen=True)
class Curve:
    """A picture and how to read it."""

    title: str
    reading: str
    picture: str
    """SVG, as a data: address."""
    size: str
    """One of SIZES."""


@dataclass(frozen=True)
class Group:
    """Curves that answer the same question."""

    title: str
    curves: list[Curve]


def curves(rows: Sequence[Row]) -> list[Group]:
    """What a log shows, the most telling first; a curve without a single number is left out."""
    with mpl.rc_context(_STYLE):
        groups = [
            Group("Is it learning?", [*_loss(rows), *_knn(rows), *_found(rows), *_similarity(rows)]),
            Group("What do its features look like?", _scores(rows)),
            Group("How did the run go?", _progress(rows)),
        ]
    return [group for group in groups if group.curves]


def series(rows: Sequence[Row], name: str) -> tuple[Floats, Floats]:
    """Steps and values of one quantity, without the rows that do not have it."""
    points = [(row["step"], row[name]) for row in rows if _number(row.get(name))]
    steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return steps, values


def _number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _loss(rows: Sequence[Row]) -> list[Curve]:
    steps, values = series(rows, "loss")
    if not len(steps):
        return []
    figure, axes = _panel(rows, "wide")
    _draw(axes, steps, values, BLUE, "loss")
    reading, chance = "Low is good.", series(rows, "chance")[1]
    settled = _settled(rows, "loss")
    low, high = float(settled.min()), float(settled.max())
    if len(chance):
        negatives = round(math.expm1(chance[-1]))
        label = f"chance, ln(1 + {negatives:,}) = {chance[-1]:.2f}"
        axes.axhline(chance[-1], color=GREY, linestyle=(0, (5, 3)), linewidth=1.2, label=label)
        high = max(high, float(chance[-1]))
        reading = (
            "Low is good. The dashed line is guessing: the loss of a query that cannot tell its own key from the "
            f"{negatives:,} negatives beside it."
        )
    if (end := _filling_end(rows)) is not None:
        axes.axvspan(axes.get_xlim()[0], end, color="#f3ecdf", linewidth=0, label="dictionary filling")
        reading += (
            " While the dictionary of keys is filling (shaded), the negatives are still random vectors and easy to "
            "tell apart, so the loss starts low and rises; that is normal."
        )
    margin = 0.06 * max(high - low, 0.1)
    axes.set_ylim(low - margin, high + margin)
    _legend(axes)
    return [Curve("Loss", reading, _svg(figure), "wide")]


def _filling_end(rows: Sequence[Row]) -> float | None:
    """The step up to which the dictionary held random vectors, as far as the log says; None where it never did."""
    steps, filled = series(rows, "filled")
    if not (filled < 1).any():
        return None
    full = steps[filled >= 1]
    return float(full[0] if len(full) else steps[-1])


def _settled(rows: Sequence[Row], name: str) -> Floats:
    """The values from when the dictionary is full, which a picture is scaled to; all, where these are few."""
    full = series([row for row in rows if not _number(row.get("filled")) or row["filled"] >= 1], name)[1]
    return full if len(full) >= 5 else series(rows, name)[1]


def _found(rows: Sequence[Row]) -> list[Curve]:
    return _single(
        rows,
        "accuracy",
        "Contrast accuracy",
        "How often a query is more similar to its own key than to every negative. Against random vectors, at the very "
        "start, that is easy; then it rises slowly, and need not come near 100%.",
        percent=True,
    )


def _similarity(rows: Sequence[Row]) -> list[Curve]:
    lines = [
        ("positive", "two views of one image", BLUE),
        ("negative", "views of different images", ORANGE),
    ]
    if not any(len(series(rows, name)[0]) for name, _, _ in lines):
        return []
    figure, axes = _panel(rows, "half")
    for name, label, colour in lines:
        _draw(axes, *series(rows, name), colour, label)
    _legend(axes)
    reading = (
        "Mean cosine. The gap between the lines is what is learnt; if both stay near 1, all images look the same to "
        "the encoder."
    )
    return [Curve("Similarity of query and key", reading, _svg(figure), "half")]


def _knn(rows: Sequence[Row]) -> list[Curve]:
    return _single(
        rows,
        "knn",
        "kNN on the watched images",
        "How often the most similar labelled images name the right class, from the untrained network on. This is the "
        "best sign that the features are of use; the labels are never trained on.",
        percent=True,
        size="wide",
    )


def _scores(rows: Sequence[Row]) -> list[Curve]:
    return [
        *_single(
            rows,
            "rotation",
            "Quarter turns found",
            "How often a linear probe on the features tells by how many quarter turns an image was turned; 25 % is "
            "chance. Of all scores without labels it tells best which run learnt more. It says nothing of images "
            "that have no up and down.",
            percent=True,
        ),
        *_single(
            rows,
            "rank",
            "Effective rank",
            "In how many directions the features of a sample of images vary. Near 1 means that all images get the "
            "same vector; which of two healthy runs learnt more it does not tell.",
        ),
        *_single(
            rows,
            "spread",
            "Spread",
            "How widely the vectors of different images are scattered: 0 is collapsed, 1 is evenly in all directions.",
            floor=0.0,
        ),
        *_single(
            rows,
            "alignment",
            "Alignment",
            "Mean squared distance of two views of the same image, 0 to 4. Low is good, but only together with a low "
            "uniformity; untrained encoders start low as well.",
            floor=0.0,
        ),
        *_single(
            rows,
            "uniformity",
            "Uniformity",
            "How evenly the vectors fill the sphere: 0 is all in one point; lower is more even, down to about -3.9.",
        ),
    ]


def _progress(rows: Sequence[Row]) -> list[Curve]:
    return [
        *_single(
            rows,
            "lr",
            "Learning rate",
            "How large the steps are; it falls as the recipe's schedule says.",
            floor=0.0,
            size="third",
        ),
        *_rising_momentum(rows),
        *_single(
            rows,
            "images_per_second",
            "Speed",
            "Images a second. Dips are usually other work on the same machine.",
            floor=0.0,
            size="third",
        ),
        *_single(
            rows,
            "data_wait",
            "Waiting for data",
            "Share of the time spent waiting for images. Above 20%, more workers or a faster disk help.",
            percent=True,
            size="third",
        ),
    ]


def _rising_momentum(rows: Sequence[Row]) -> list[Curve]:
    """Only where it changes: elsewhere it is a number."""
    values = series(rows, "m")[1]
    if not len(values) or values.min() == values.max():
        return []
    reading = "The key encoder follows the query encoder ever more slowly; at 1, at the end, not at all."
    return _single(rows, "m", "Momentum of the key encoder", reading, size="third")


def _single(
    rows: Sequence[Row],
    name: str,
    title: str,
    reading: str,
    *,
    size: str = "half",
    percent: bool = False,
    floor: float | None = None,
) -> list[Curve]:
    """A picture of one line, where the log has it; a share starts at 0."""
    steps, values = series(rows, name)
    if not len(steps):
        return []
    figure, axes = _panel(rows, size)
    _draw(axes, steps, values, BLUE, title)
    top = float(_settled(rows, name).max())
    if percent:
        axes.set_ylim(0, min(1.02, max(0.05, 1.15 * top)))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    elif floor is not None:
        axes.set_ylim(floor, 1.08 * max(top, 1e-12))
    return [Curve(title, reading, _svg(figure), size)]


def _panel(rows: Sequence[Row], size: str) -> tuple[Figure, Axes]:
    """An empty picture from step 0 to the last of the log."""
    figure = Figure(figsize=SIZES[size], layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel("step")
    last = max(1, rows[-1]["step"])
    axes.set_xlim(-0.012 * last, 1.012 * last)  # room for a marker at either end
    axes.xaxis.set_major_locator(MaxNLocator(3 if size == "third" else 5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return figure, axes


def _draw(axes: Axes, steps: Floats, values: Floats, colour: str, label: str) -> None:
    """The curve; where it has many points, these pale, and their running mean over a tenth of the picture on top."""
    x, y = _thin(steps), _thin(values)
    if len(x) >= 60:
        axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.3)
        axes.plot(x, _smooth(y, len(y) // 20), color=colour, linewidth=1.9, label=label)
    else:
        axes.plot(x, y, color=colour, linewidth=1.9, label=label, marker="o", markersize=3.6 if len(x) < 25 else 0)


def _thin(values: Floats) -> Floats:
    """At most MOST_POINTS means of neighbouring values."""
    if len(values) <= MOST_POINTS:
        return values
    return np.array([part.mean() for part in np.array_split(values, MOST_POINTS)])


def _smooth(values: Floats, width: int) -> Floats:
    """The mean of the middle half of each value and `width` on either side, fewer at the ends."""
    smooth = np.empty(len(values))
    for i in range(len(values)):
        near = np.sort(values[max(0, i - width) : i + width + 1])
        quarter = len(near) // 4
        smooth[i] = near[quarter : len(near) - quarter].mean()
    return smooth


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.1, handlelength=1.6)


def _svg(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
