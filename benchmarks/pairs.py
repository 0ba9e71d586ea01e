"""Do positives from what is known help? Tracks of traffic signs as groups, beside plain instance discrimination.

GTSRB: a track is one physical sign, seen in six frames while driving past. In the same number of steps, with the same
network, views, queue and seed, an encoder is trained on two views of each frame, on two frames of each track, and on a
frame and four others (`--positives 4`): that encodes five images a step and not two, so it is also trained for as long
as the first, in fewer steps (by what a few steps of both take, measured before). kNN (k 20) on the backbone's features
names the classes of test images, whose tracks are all others.

    python benchmarks/pairs.py gtsrb_tracks/train gtsrb_tracks/test gtsrb_tracks/metadata.csv:track --out pairs.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from measure import Rows, best_of, versions

from moco.commands.watch import KNNWatch
from moco.data.groups import Groups
from moco.data.labelled import Labelled, alike
from moco.data.loader import MemoryLoader, Plan
from moco.data.memory import Memory, load_memory
from moco.data.open import open_labelled, open_source
from moco.data.pairs import read_pairs
from moco.data.source import Source
from moco.device import Placement, place
from moco.machine import Machine
from moco.preprocess import Preprocess
from moco.recipe import KNN, Grouped, Recipe, override, v2
from moco.recipe.views import COLOURS
from moco.training import build_training, train_step

FIRST = "two views of a frame"
ARMS = {
    FIRST: None,
    "two frames of a track": Grouped(),
    "four positives": Grouped(positives=4),
    "four positives, same time": Grouped(positives=4),
}


def recipe_of(groups: Grouped | None, steps: int, seed: int) -> Recipe:
    """v2 in small, with the views that suit signs best when frames stand alone: colours change, hardly a crop."""
    changes = {
        "encoder.backbone": "resnet10w16", "encoder.stem": "half", "image_size": 32, "batch": 128, "optim.lr": 0.06,
        "encoder.norm_group": 32, "dictionary.size": 1024, "loss.temperature": 0.1, "keys.m": 0.98,
        "schedule.per": "step", "epochs": None, "steps": steps, "seed": seed,
    }  # fmt: skip
    small = override(v2(), changes)
    return replace(small, query_view=COLOURS, groups=groups, knn=KNN(k=20, temperature=0.07, features="backbone"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("pairs")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--out", type=Path, default=Path("pairs.json"))
    asked = parser.parse_args()
    known, judged = alike(open_labelled(asked.train), open_labelled(asked.test))
    images = open_source(asked.train)
    groups = read_pairs(asked.pairs, None, images)
    print("\n".join(groups.lines), file=sys.stderr)
    labelled = Labelled(judged.source, judged.labels, judged.classes, known)
    memory, _ = load_memory(images, 2)
    assert memory is not None
    placement = place(Machine(device="cpu", threads=1, precision="fp32"))
    rows = Rows(asked.out)
    steps = dict.fromkeys(ARMS, asked.steps)
    if any("same time" in arm for arm in asked.arms):
        share = _share_of_time(images, memory, groups.groups, placement)
        steps = {arm: round(n / share) if "same time" in arm else n for arm, n in steps.items()}
    for seed in range(asked.seeds):
        for arm in asked.arms:
            if rows.found(arm=arm, seed=seed):
                continue
            recipe = recipe_of(ARMS[arm], steps[arm], seed)
            t = build_training(recipe, len(images), placement, groups=groups.groups)
            look = KNNWatch(labelled, recipe, Preprocess.of(recipe), placement, 2)
            untrained = look(t.model.query_encoder)["knn"]
            began, losses = time.process_time(), []
            for batch in MemoryLoader(memory).batches(Plan.of(recipe, images, groups=groups.groups), 0):
                losses.append(train_step(t, batch))
            seconds = time.process_time() - began
            row = {"arm": arm, "seed": seed, "knn": look(t.model.query_encoder)["knn"], "untrained": untrained}
            last = losses[-max(1, len(losses) // 10) :]
            row |= {"accuracy": float(np.mean([float(x.accuracy) for x in last])), "core_seconds": round(seconds, 1)}
            row["steps"] = steps[arm]
            print(row, file=sys.stderr, flush=True)
            rows.add(row)
    if asked.json:
        print(json.dumps({"benchmark": "pairs", "steps": asked.steps, "rows": rows, **versions()}))
        return
    for arm in asked.arms:
        found = [100 * row["knn"] for row in rows if row["arm"] == arm]
        print(f"{arm:24s} kNN {np.mean(found):.1f} +- {np.std(found, ddof=1) if len(found) > 1 else 0:.1f}")


def _share_of_time(images: Source, memory: Memory, groups: Groups, placement: Placement) -> float:
    """How many times as long as one of two views a step of four positives takes."""
    work = {}
    for arm in (FIRST, "four positives"):
        recipe = recipe_of(ARMS[arm], 1000, 0)
        t = build_training(recipe, len(images), placement, groups=groups)
        batch = next(iter(MemoryLoader(memory).batches(Plan.of(recipe, images, groups=groups), 0)))
        work[arm] = lambda t=t, batch=batch: train_step(t, batch)
    took = best_of(work, 8)
    return took["four positives"] / took[FIRST]


if __name__ == "__main__":
    main()
