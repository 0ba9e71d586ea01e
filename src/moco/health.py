"""What the curves of a run say, in one sentence.

The references are the official runs: the loss starts low against random keys and rises while the queue fills; v2 at
temperature 0.2 stays near 6.9 beside a chance of 11.1; shuffled keys are found in about 97 % of cases, and a contrast
that is nearly always won while kNN falls is the mark of a BatchNorm leak (v1, figure A.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from moco.recipe import Bank, Batch, EndToEnd, Momentum, Queue, Recipe
from moco.recipe.vit import vit_name

Row = dict[str, Any]

CHANCE_STEPS = 300
"""Steps at the chance level after which a run counts as not learning."""

SAME = 1e-4
"""Spread of the vectors of different images below which they are one; fresh encoders give photographs 0.01 and more."""


WINDOW, DIP, SURE = 5, 0.4, 5.0
"""A dip is a fall of the contrast accuracy by this share below the median of so many rows before, and by so many
standard errors of one step's accuracy: of a few dozen queries it falls as far by chance."""


@dataclass(frozen=True)
class Health:
    """A verdict and the sentence that says why."""

    level: Literal["normal", "look", "bad"]
    sentence: str


def negatives(recipe: Recipe) -> int:
    """How many negatives a query is contrasted with."""
    match recipe.dictionary:
        case Queue(size=size) | Bank(size=size):
            return size
        case Batch(contrast="keys"):
            return (recipe.batch - 1) * recipe.positives
        case Batch():
            return 2 * recipe.batch - 2


def chance(recipe: Recipe) -> float:
    """ln(P + K), the loss of a query that cannot tell its P keys from the negatives."""
    return math.log(recipe.positives + negatives(recipe))


def _clear(recipe: Recipe) -> float:
    """How far below chance a loss is clearly below it: 2 % of it, or a tenth of what there is to gain, if that is less.

    At v3's temperature of 1, a query that is its key and at right angles to all others still has a loss near chance.
    """
    count, level = negatives(recipe), chance(recipe)
    best = math.log1p(count * math.exp(-1 / recipe.loss.temperature))
    return min(0.02 * level, 0.1 * (level - best))


def can_leak(recipe: Recipe) -> bool:
    """Whether a query and its key share BatchNorm statistics that the dictionary's other keys do not."""
    group = recipe.encoder.norm_group
    whole = group is None or group >= recipe.batch
    shuffled = isinstance(recipe.keys, Momentum | EndToEnd) and recipe.keys.shuffle
    match recipe.dictionary:
        case Queue():
            return whole or not shuffled
        case Batch():
            return not (whole or shuffled)
        case Bank():
            return False


def judge(rows: Sequence[Row], recipe: Recipe) -> Health:
    """The verdict on a run from its log: training rows, and where there are any, scores and kNN."""
    steps = [row for row in rows if row.get("loss") is not None]
    if not steps:
        return Health("normal", "starting")
    for verdict in (_blank, _collapse, _at_chance, _filling, _leak, _dips, _knn_falls, _rising):
        if (health := verdict(rows, steps, recipe)) is not None:
            return health
    return _learning(steps[-1], recipe)


def _blank(rows: Sequence[Row], steps: list[Row], recipe: Recipe) -> Health | None:
    first = next((row["spread"] for row in rows if row.get("spread") is not None), None)
    if first is None or first > SAME:
        return None
    return Health(
        "bad",
        "nothing to learn: already before training all images get the same vector; are they blank, or copies of one? "
        "Look at the views in the report",
    )


def _collapse(rows: Sequence[Row], steps: list[Row], recipe: Recipe) -> Health | None:
    last = steps[-1]
    if last["step"] < 100 or last.get("filled", 1.0) < 1:
        return None
    rank = _latest(rows, "rank")
    alike = last["negative"] > 0.9 and last["positive"] - last["negative"] < 0.05
    if (rank is not None and rank < 1.5) or alike:
        shown = f"an effective rank of {rank:.1f}, " if rank is not None else ""
        return Health(
            "bad",
            f"collapsing: all images get nearly the same vector ({shown}cosine {last['negative']:.2f} between "
            f"different images); lower --optim.lr{', or raise --keys.m' if isinstance(recipe.keys, Momentum) else ''}",
        )
    return None


def _at_chance(rows: Sequence[Row], steps: list[Row], recipe: Recipe) -> Health | None:
    level = chance(recipe)
    since = steps[-1]["step"]
    clearly_below = level - _clear(recipe)
    for row in reversed(steps):
        if row["loss"] < clearly_below:
            break
        since = row["step"]
    length = steps[-1]["step"] - since
    if steps[-1]["loss"] < clearly_below or length < CHANCE_STEPS // 3:
        return None
    if length < CHANCE_STEPS:
        return Health(
            "look", f"at chance ({level:.2f}) for {length} steps; a slow start, or not learning: wait for more"
        )
    return Health(
        "bad",
        f"not learning: loss at chance ({level:.2f}) for {length} steps; try {_remedies(recipe)}",
    )


def _remedies(recipe: Recipe) -> str:
    momentum = ["--keys.m 0.99"] if isinstance(recipe.keys, Momentum) else []
    size = [] if isinstance(recipe.dictionary, Batch) else ["a smaller --dictionary.size"]
    known = [] if recipe.groups is None else ["--pairs of images that show the same (these may not: see the report)"]
    return ", ".join([*momentum, *size, "another --optim.lr", *known])


def _filling(rows: Sequence[Row], steps: list[Row], recipe: Recipe) -> Health | None:
    last = steps[-1]
    if not isinstance(recipe.dictionary, Queue):
        return None
    filled = last.get("filled", 1.0)
    if filled < 1:
        return Health(
            "normal",
            f"normal: the queue is still filling ({filled:.0%}); against random keys the loss is low and rises",
        )
    full_at = next(row["step"] for row in steps if row.get("filled", 1.0) >= 1)
    early = [row["loss"] for row in steps if row["step"] <= full_at]
    if last["step"] < 3 * full_at and last["loss"] > early[0]:
        as_there = ", as in the official runs" if recipe.text is None and recipe.groups is None else ""
        return Health("normal", f"normal: the queue is full; the loss peaks now{as_there}, and falls later")
    return None


def _leak(rows: Sequence[Row], steps: list[Row], recipe: Recipe) -> Health | None:
    if not can_leak(recipe):
        return None
    accuracy = _mean([row["accuracy"] for row in steps[-10:]])
    why = "keys share BatchNorm statistics with their queries"
    todo = "use --keys.shuffle and an --encoder.norm-group smaller than the batch"
    knn = [row["knn"] for row in rows if "knn" in row]
    if len(knn) >= 3 and knn[-1] < max(knn) - 0.01 and accuracy > 0.9:
        return Health(
            "bad",
            f"BatchNorm leak likely: {why}; the contrast is won in {accuracy:.1%} while kNN fell from "
            f"{max(knn):.1%} to {knn[-1]:.1%}; {todo}",
        )
    if accuracy > 0.98:
        return Health("look", f"BatchNorm leak likely: {why}, and the contrast is won in {accuracy:.1%}; {todo}")
    return None


def _dips(rows: Sequence[Row], steps: list[Row], recipe: Recipe) -> Health | None:
    """What v3 calls a partial failure: accuracy falls within a few steps and comes back, and the end is worse for it.

    Told by the contrast accuracy of the log's rows, of those on either side of a sudden fall; with keys of the batch
    alone, for a queue hides it: its keys are of many steps.
    """
    if not (isinstance(recipe.dictionary, Batch) and isinstance(recipe.keys, Momentum)):
        return None
    found = [
        (row, before)
        for i, row in enumerate(steps[WINDOW:], WINDOW)
        if (before := _median([s["accuracy"] for s in steps[i - WINDOW : i]])) > 0.2
        and row["accuracy"] < before * (1 - DIP)
        and row["accuracy"] < before - SURE * _error(before, recipe)
    ]
    if not found:
        return None
    row, before = found[-1]
    todo = (
        []
        if recipe.encoder.frozen_patches or vit_name(recipe.encoder.backbone) is None
        else ["--encoder.frozen-patches"]
    )
    todo += ["a lower --optim.lr", "more --schedule.warmup-epochs"]
    return Health(
        "look",
        f"unstable: the contrast accuracy dipped from {before:.0%} to {row['accuracy']:.0%} at step {row['step']:,}, "
        f"as v3 describes it of transformers; it comes back, but the end is worse for it: try {', '.join(todo)}",
    )


def _error(accuracy: float, recipe: Recipe) -> float:
    """The standard error of the contrast accuracy of one step."""
    queries = recipe.batch * (2 if recipe.loss.symmetric else 1)
    return math.sqrt(accuracy * max(0.0, 1 - accuracy) / queries)


def _knn_falls(rows: Sequence[Row], steps: list[Row], recipe: Recipe) -> Health | None:
    knn = [row["knn"] for row in rows if "knn" in row]
    if len(knn) >= 4 and max(knn[-2:]) < max(knn) - 0.03:
        return Health(
            "look",
            f"kNN fell from {max(knn):.1%} to {knn[-1]:.1%} while the loss fell: the views keep something that does "
            "not matter to your classes; look at the views in the report",
        )
    return None


def _rising(rows: Sequence[Row], steps: list[Row], recipe: Recipe) -> Health | None:
    full = [row["loss"] for row in steps if row.get("filled", 1.0) >= 1]
    if len(full) < 40:
        return None
    quarter = len(full) // 4
    before, now = _mean(full[-2 * quarter : -quarter]), _mean(full[-quarter:])
    if now > before + 0.05 * chance(recipe):
        return Health("look", f"the loss rises (from {before:.2f} to {now:.2f}); if it goes on, lower --optim.lr")
    return None


def _learning(last: Row, recipe: Recipe) -> Health:
    level, accuracy = chance(recipe), last["accuracy"]
    if last["loss"] >= level - _clear(recipe):
        return Health(
            "normal", f"too early to say: the loss ({last['loss']:.2f}) is not clearly below chance ({level:.2f}) yet"
        )
    sentence = (
        f"normal: learning; a query finds {_its_key(recipe)} among {1 + negatives(recipe):,} in {accuracy:.0%} of "
        f"cases (loss {last['loss']:.2f}, chance {level:.2f})"
    )
    if recipe.loss.temperature >= 0.15 and level > 10 and 6.5 < last["loss"] < 7.5:
        sentence += "; near 6.9 is where the official v2 runs stay"
    return Health("normal", sentence)


def _its_key(recipe: Recipe) -> str:
    if recipe.text is not None:
        return "what it is paired with"
    return "its key" if recipe.groups is None else "another image of its group"


def _latest(rows: Sequence[Row], name: str) -> float | None:
    return next((row[name] for row in reversed(rows) if row.get(name) is not None), None)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
