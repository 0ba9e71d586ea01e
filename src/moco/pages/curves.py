"""The curves of a run: small plain pictures, each with a sentence on how to read it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moco.pages.contrasted import Contrasted, first_is_easy, own_of
from moco.pages.drawing import Floats, Line, Plot, csv, svg
from moco.recipe import Recipe
from moco.run.log import Row, number_in


@dataclass(frozen=True)
class Curve:
    """A picture and how to read it."""

    title: str
    reading: str
    picture: str
    """SVG, for the page to hold."""
    size: str
    """One of `drawing.SIZES`."""
    numbers: str
    """The same as comma-separated values."""


@dataclass(frozen=True)
class Group:
    """Curves that answer the same question."""

    title: str
    curves: list[Curve]


def curves(rows: Sequence[Row], recipe: Recipe | None = None) -> list[Group]:
    """What a log shows, the most telling first; a curve without a single number is left out.

    In the words of the recipe, where it is known: what a query is asked is not the same in all.
    """
    asked = own_of(recipe)
    found = [*_texts(rows), *_found(rows, asked, first_is_easy(recipe)), *_similarity(rows, asked)]
    groups = [
        Group("Is it learning?", [*_loss(rows, asked), *_knn(rows), *found]),
        Group("What do its features look like?", _scores(rows)),
        Group("How did the run go?", _progress(rows)),
    ]
    return [group for group in groups if group.curves]


def series(rows: Sequence[Row], name: str) -> tuple[Floats, Floats]:
    """Steps and values of one quantity, without the rows that do not have it."""
    points = [(row["step"], value) for row in rows if (value := number_in(row, name)) is not None]
    steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return steps, values


def _loss(rows: Sequence[Row], asked: Contrasted) -> list[Curve]:
    steps, values = series(rows, "loss")
    if not len(steps):
        return []
    reading, chance = "Low is good.", series(rows, "chance")[1]
    settled = _settled(rows, "loss")
    low, high, level = float(settled.min()), float(settled.max()), None
    if len(chance):
        negatives = round(math.exp(chance[-1])) - asked.positives
        level = (float(chance[-1]), f"chance, {chance[-1]:.2f}")
        high = max(high, level[0])
        reading = (
            f"Low is good. The dashed line is guessing: the loss of a query that cannot tell {asked.own} from the "
            f"{negatives:,} {asked.others}, ln({asked.positives} + {negatives:,})."
        )
    shaded = None if (end := _filling_end(rows)) is None else (end, "dictionary filling")
    if shaded:
        reading += (
            " While the dictionary of keys is filling (shaded), the negatives are still random vectors and easy to "
            "tell apart, so the loss starts low and rises; that is normal."
        )
    margin = 0.06 * max(high - low, 0.1)
    lines = [Line("loss", steps, values)]
    plot = Plot(lines, _last(rows), low - margin, high + margin, level=level, shaded=shaded)
    return [_curve("Loss", reading, plot, "wide")]


def _filling_end(rows: Sequence[Row]) -> float | None:
    """The step up to which the dictionary held random vectors, as far as the log says; None where it never did."""
    steps, filled = series(rows, "filled")
    if not (filled < 1).any():
        return None
    full = steps[filled >= 1]
    return float(full[0] if len(full) else steps[-1])


def _settled(rows: Sequence[Row], name: str) -> Floats:
    """The values from when the dictionary is full, which a picture is scaled to; all, where these are few."""
    full = series([row for row in rows if (filled := number_in(row, "filled")) is None or filled >= 1], name)[1]
    return full if len(full) >= 5 else series(rows, name)[1]


def _found(rows: Sequence[Row], asked: Contrasted, easy: bool) -> list[Curve]:
    others = "every negative" if asked.others == Contrasted.others else f"all {asked.others}"
    reading = f"How often a query is more similar to {asked.own} than to {others}. "
    if easy:
        reading += "Against random vectors, at the very start, that is easy; then it rises slowly, and need not come "
    else:
        reading += "It rises slowly from what an untrained encoder finds, and need not come "
    return _single(rows, "accuracy", "Contrast accuracy", f"{reading}near 100%.{asked.against}", percent=True)


def _similarity(rows: Sequence[Row], asked: Contrasted) -> list[Curve]:
    named = (("positive", asked.same), ("negative", asked.different))
    found = [(label, *series(rows, name)) for name, label in named]
    lines = [
        Line(label, steps, values, "second" if label == named[1][1] else "first")
        for label, steps, values in found
        if len(steps)
    ]
    if not lines:
        return []
    low = min(float(line.values.min()) for line in lines)
    high = max(float(line.values.max()) for line in lines)
    margin = 0.05 * max(high - low, 0.1)
    reading = (
        f"Mean cosine of {asked.pair}. The gap between the lines is what is learnt; if both stay near 1, all images "
        "look the same to the encoder."
    )
    plot = Plot(lines, _last(rows), low - margin, high + margin)
    return [_curve("Similarity of query and key", reading, plot, "half")]


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


def _texts(rows: Sequence[Row]) -> list[Curve]:
    """Of a run on images with captions."""
    return [
        *_single(
            rows,
            "recall_1",
            "Captions found",
            "How often, of the pairs held out, the caption nearest to an image is its own. The log has recall at 5 "
            "and 10 too, and the same of images that captions find.",
            percent=True,
        ),
        *_single(
            rows,
            "zero_shot",
            "Classes named without a label",
            "How often the name of its class is the text nearest to a watched image.",
            percent=True,
        ),
        *_single(
            rows,
            "temperature",
            "Temperature",
            "Learnt with the rest: what cosines are divided by, 0.01 at the least. It falls as pairs are told "
            "apart more surely.",
            floor=0.0,
        ),
    ]


def _scores(rows: Sequence[Row]) -> list[Curve]:
    return [
        *_single(
            rows,
            "rotation",
            "Quarter turns found",
            "How often a linear probe on the features tells by how many quarter turns an image was turned; 25% is "
            "chance. Of all scores without labels it tells best which run learnt more. It says nothing of images "
            "that have no up and down.",
            percent=True,
            level=(0.25, "chance, 25%"),
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
    level: tuple[float, str] | None = None,
) -> list[Curve]:
    """A picture of one line, where the log has it; a share starts at 0."""
    steps, values = series(rows, name)
    if not len(steps):
        return []
    top = float(_settled(rows, name).max())
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * max(high - low, 1e-3 * max(abs(high), 1e-9))
    if percent:
        low, high = 0.0, min(1.02, max(0.05, 1.15 * max(top, level[0] if level else 0.0)))
    elif floor is not None:
        low, high = floor, 1.08 * max(top, 1e-12)
    else:
        low, high = low - margin, high + margin
    lines = [Line(title.lower(), steps, values)]
    plot = Plot(lines, _last(rows), low, high, percent=percent, level=level, legend=level is not None)
    return [_curve(title, reading, plot, size)]


def _curve(title: str, reading: str, plot: Plot, size: str) -> Curve:
    return Curve(title, reading, svg(plot, size, title), size, csv(plot.lines))


def _last(rows: Sequence[Row]) -> int:
    return max(1, int(rows[-1]["step"]))
