"""The table of a transfer: a row for each start, means and spreads over seeds, differences; and curves over steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moco.run.atomic import write_text
from moco.run.log import Row, read_log
from moco.transfer.recipe import Transfer, Trial

HEADLINE = {"voc": "AP50", "coco": "AP", "lvis": "mask AP", "cityscapes": "mask AP", "iou": "mIoU"}
"""By which number a curve is drawn."""

_OTHERS = {"step", "epoch", "judged_in"}


@dataclass(frozen=True)
class Outcome:
    """The scores of one fine-tuning, at each step where it was judged."""

    start: str
    trial: Trial
    rows: list[Row]
    """Rows of the log with scores, in order."""
    folder: Path = Path()
    """Where the run is."""

    @classmethod
    def read(cls, folder: Path, start: str, trial: Trial) -> Outcome:
        """From the log of a run."""
        return cls(start, trial, [row for row in read_log(folder / "log.jsonl") if "loss" not in row], folder)

    @property
    def scores(self) -> dict[str, float]:
        """The last."""
        return {k: v for k, v in self.rows[-1].items() if k not in _OTHERS} if self.rows else {}


def headline(recipe: Transfer) -> str:
    """The metric that is drawn."""
    finds = getattr(recipe.parts, "finds", "")
    if recipe.metric == "coco" and finds == "masks":
        return "mask AP"
    return "keypoint AP" if finds == "keypoints" else HEADLINE[recipe.metric]


@dataclass(frozen=True)
class Table:
    """What is compared at one share of the labels, in points of 100."""

    about: str
    metrics: list[str]
    rows: list[tuple[str, list[str]]]
    """A start, and a cell for each metric."""

    @property
    def lines(self) -> list[str]:
        """In Markdown."""
        head = [f"| start | {' | '.join(self.metrics)} |", f"|---|{'---|' * len(self.metrics)}"]
        return [*head, *(f"| {start} | {' | '.join(cells)} |" for start, cells in self.rows)]


def write_results(out: Path, recipe: Transfer, outcomes: Sequence[Outcome]) -> list[str]:
    """Write results.json and results.md; the lines of the tables."""
    content = [
        {
            "start": one.start,
            "labels": one.trial.labels,
            "seed": one.trial.seed,
            "scores": one.scores,
            "curve": [{k: v for k, v in row.items() if k != "judged_in"} for row in one.rows],
        }
        for one in outcomes
    ]
    write_text(out / "results.json", json.dumps({"task": recipe.name, "runs": content}, indent=2) + "\n")
    lines: list[str] = []
    for table in tables(recipe, outcomes):
        lines += ["", f"**{recipe.name}**, {table.about}", "", *table.lines]
    lines += ["", note] if (note := in_brackets(outcomes)) else []
    write_text(out / "results.md", "\n".join(lines[1:]) + "\n")
    return lines[1:]


def tables(recipe: Transfer, outcomes: Sequence[Outcome]) -> list[Table]:
    """One for each share of the labels."""
    found = []
    for share in dict.fromkeys(one.trial.labels for one in outcomes):
        here = [one for one in outcomes if one.trial.labels == share]
        seeds = sorted({one.trial.seed for one in here})
        metrics = list(dict.fromkeys(name for one in here for name in one.scores))
        starts = list(dict.fromkeys(one.start for one in here))
        shown = f"{share:.0%} of the labels, " if share != 1 else ""
        many = f"mean ± standard deviation of {len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"
        first = {m: _values(here, starts[0], m) for m in metrics}
        rows = [
            (start, [_cell(_values(here, start, m), None if start == starts[0] else first[m]) for m in metrics])
            for start in starts
        ]
        found.append(Table(f"{shown}{recipe.schedule.steps:,} steps, {many}", metrics, rows))
    return found


def in_brackets(outcomes: Sequence[Outcome]) -> str:
    """What the differences in brackets are; nothing where there are none."""
    several = len({one.start for one in outcomes}) > 1
    return f"In brackets: the difference to {outcomes[0].start}, seed by seed." if several else ""


def _values(outcomes: Sequence[Outcome], start: str, metric: str) -> dict[int, float]:
    """By seed."""
    return {one.trial.seed: one.scores[metric] for one in outcomes if one.start == start and metric in one.scores}


def _cell(values: dict[int, float], first: dict[int, float] | None) -> str:
    if not values:
        return "-"
    own = np.array(list(values.values())) * 100
    spread = f" ± {own.std(ddof=1):.1f}" if len(own) > 1 else ""
    shared = [100 * (values[s] - first[s]) for s in values if s in first] if first is not None else []
    return f"{own.mean():.1f}{spread}" + (f" ({np.mean(shared):+.1f})" if shared else "")
