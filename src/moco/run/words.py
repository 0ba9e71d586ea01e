"""A row of the log in words, for whoever shows it."""

from __future__ import annotations

from moco.run.log import Row

_NAMES = {"rank": "effective rank"}
_SHARES = {
    "knn": "kNN",
    "rotation": "turns found",
    "zero_shot": "classes named by text",
    "recall_1": "captions found first",
    "recall_5": "in 5",
    "recall_10": "in 10",
    "image_recall_1": "images found first",
    "image_recall_5": "in 5",
    "image_recall_10": "in 10",
}


def step_words(row: Row) -> str:
    """The numbers of a row about a step."""
    contrast = f" (chance {row['chance']:.2f}), contrast accuracy {row['accuracy']:.0%}" if "chance" in row else ""
    rate = row["images_per_second"]
    return (
        f"loss {_number(row['loss'])}{contrast}, {rate:,.{0 if rate >= 10 else 1}f} images/s, "
        f"waiting for data {row['data_wait']:.0%}, {row['memory_gib']:.1f} GiB"
    )


def score_words(row: Row) -> str:
    """When a row of scores was measured, and what was found."""
    shown = [
        f"{_SHARES[k]} {v:.1%}" if k in _SHARES else f"{_NAMES.get(k, k)} {v:.3g}"
        for k, v in row.items()
        if k not in ("step", "epoch", "judged_in") and v is not None
    ]
    in_epochs = "epoch" in row and "judged_in" not in row
    done = f"after epoch {row['epoch']}" if in_epochs else f"after step {row['step']:,}"
    return f"{done if row['step'] else 'before training'}: {', '.join(shown)}"


def left_words(seconds: float | None) -> str:
    """How long a run will still take; nothing where that cannot be told."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s left"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min left"
    return f"{seconds / 3600:.1f} h left" if seconds < 172_800 else f"{seconds / 86400:.1f} days left"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3f}"
