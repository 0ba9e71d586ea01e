"""What does the choice of views cost: do short runs without labels choose what long runs with labels would?

    python benchmarks/choice.py --seeds 0 1 2 3 --out choice.json NAME=TRAIN,TEST ...
    python benchmarks/choice.py --seeds 0 1 --finals 1500 --out choice.json NAME=TRAIN,TEST ...
    python benchmarks/choice.py --table choice.json

Each candidate of `auto` trains the small network for 226 steps of 128 images, as in a search of five minutes on one
core, and is looked at without labels after 76 and 226, by probes of two sizes; `--keep FOLDER` keeps the encoders
there, and takes those that are there. With `--finals`, each trains anew for so many steps, and is judged by kNN and
five labels a class. The table has, set by set, what each way to choose takes, and what that loses to the best candidate
(points of kNN / points with few labels, each candidate judged by the mean of its seeds).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Rows
from parts import KNN, PARTS, Run
from policies import Set

from moco.device import place
from moco.halving import survivors
from moco.machine import Machine
from moco.recipe.views import CANDIDATES
from moco.scores.probe import Found, Probe, merit

LOOKS = 76, 226
SIZES = 1024, 2048
"""Images of a probe."""
UNSURE = 0.01
"""Standard error of the smaller probe, which is judged on 4,096 turns."""

Looks = dict[str, dict[str, Found]]
"""Scores by the probe's size and the step."""


def searched(images: Set, views: str, seed: int, probes: Sequence[Probe], placement, keep: Path) -> Looks:
    kept = {step: keep / f"{images.name}-{views}-{seed}-{step}.pt" for step in LOOKS}
    if not all(path.exists() for path in kept.values()):
        run = Run(images, views, PARTS["base"], LOOKS[-1], seed, placement)
        for batch in run.batches():
            run.step(batch)
            if run.t.step in LOOKS:
                torch.save(run.t.model.query_encoder, kept[run.t.step])
    encoders = {str(step): torch.load(path, weights_only=False) for step, path in kept.items()}
    sized = zip(SIZES, probes, strict=True)
    return {str(size): {step: probe(encoder) for step, encoder in encoders.items()} for size, probe in sized}


def final(images: Set, views: str, steps: int, seed: int, placement) -> dict[str, float]:
    run = Run(images, views, PARTS["base"], steps, seed, placement)
    for batch in run.batches():
        run.step(batch)
    return images.judge(run.t.model.query_encoder.eval())


def by_views(found: Sequence[Found]) -> list[float]:
    """The three references count alike."""
    names = [name for name in found[0] if name.startswith("retrieval")]
    scores = np.array([[one[name] for name in names] for one in found])
    return list(((scores - scores.mean(axis=0)) / np.maximum(scores.std(axis=0), 1e-9)).mean(axis=1))


def by_views_where_even(found: Sequence[Found]) -> list[float]:
    """By turns; those that are within the error of the best by the views that are found again."""
    turns, again = np.array([one["rotation"] for one in found]), np.array(by_views(found))
    return list(np.where(turns >= turns.max() - UNSURE, 1 + again - again.min(), turns))


def by_both(found: Sequence[Found]) -> list[float]:
    return list(np.array(merit(found)) + by_views(found))


WAYS = {
    "by turns (`auto`)": (merit, LOOKS[-1]),
    "by turns, carried on to 1,500 steps": (merit, 1500),
    "by turns, even ones by views found again": (by_views_where_even, LOOKS[-1]),
    "by views found again": (by_views, LOOKS[-1]),
    "by both": (by_both, LOOKS[-1]),
}
"""Orders of encoders of the same images (the higher, the better), and the step that scores are carried on to."""


def carried(looks: dict[str, Found], step: int, to: int) -> Found:
    """What the scores of this step would be at another, were they to go on straight in the logarithm of the steps."""
    first, now = looks[str(LOOKS[0])], looks[str(step)]
    further = math.log(to / LOOKS[-1]) / math.log(LOOKS[-1] / LOOKS[0])
    return {name: score + further * (score - first[name]) for name, score in now.items()}


def chosen(scores: dict[str, dict[str, Found]], order, to: int = LOOKS[-1]) -> str:
    """What successive halving takes, given each candidate's scores by step, carried on to the step `to`."""
    left = list(scores)
    for step in LOOKS:
        value = dict(zip(left, order([carried(scores[views], step, to) for views in left]), strict=True))
        left = sorted(left, key=lambda views: -value[views])[: survivors(len(left))]
    return left[0]


def table(rows: list[dict[str, Any]]) -> None:
    sets = list(dict.fromkeys(row["set"] for row in rows if row["final"]))
    print(f"| | {' | '.join(sets)} | mean |\n|---{'|---' * (len(sets) + 1)}|")
    lost: dict[str, list[Any]] = {}
    cells: dict[str, list[str]] = {}
    for name in sets:
        trials = [row for row in rows if row["set"] == name and not row["final"]]
        finals = [row["judged"] | {"views": row["views"]} for row in rows if row["set"] == name and row["final"]]
        judged = {
            views: 100 * np.mean([[r[KNN], r["few labels"]] for r in finals if r["views"] == views], axis=0)
            for views in CANDIDATES
        }
        best = np.max(list(judged.values()), axis=0)
        for views, found in judged.items():
            cells.setdefault(f"`{views}`", []).append(_pair(found))
            lost.setdefault(f"`{views}`", []).append(best - found)
        for size in map(str, SIZES):
            for way, (order, to) in WAYS.items():
                seeds = sorted({row["seed"] for row in trials})
                taken = [
                    chosen({row["views"]: row["scores"][size] for row in trials if row["seed"] == seed}, order, to)
                    for seed in seeds
                ]
                head, loss = f"{way}, {size} images", np.mean([best - judged[views] for views in taken], axis=0)
                counts = ", ".join(f"{taken.count(views)} `{views}`" for views in dict.fromkeys(taken))
                cells.setdefault(head, []).append(f"{_pair(loss)} ({counts})")
                lost.setdefault(head, []).append(loss)
    for head, found in cells.items():
        print(f"| {head} | {' | '.join(found)} | {_pair(np.mean(lost[head], axis=0))} |")


def _pair(values) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--finals", type=int, default=0, help="steps of the long runs; 0: none, the searches")
    parser.add_argument("--keep", type=Path, default=Path("choice"))
    parser.add_argument("--out", type=Path, default=Path("choice.json"))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    if asked.table:
        table(json.loads(asked.table.read_text())["rows"])
        return
    asked.keep.mkdir(exist_ok=True)
    placement = place(Machine(device="cpu", threads=1))
    rows = Rows(asked.out)
    for text in asked.sets:
        name, _, rest = text.partition("=")
        images = Set(name, *rest.split(","), placement)
        recipe = Run(images, "near", PARTS["base"], 10, 0, placement).recipe
        probes = [Probe(images.memory, recipe, placement, size) for size in SIZES]
        for seed in asked.seeds:
            for views in CANDIDATES:
                row: dict[str, Any] = {"set": name, "views": views, "seed": seed, "final": asked.finals}
                if rows.found(**row):
                    continue
                if asked.finals:
                    rows.add(row | {"judged": final(images, views, asked.finals, seed, placement)})
                else:
                    rows.add(row | {"scores": searched(images, views, seed, probes, placement, asked.keep)})
                print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
