"""Is the last epoch the best one, and would a score without labels find a better?

    python benchmarks/epochs.py --steps 1500 --out epochs.json NAME=TRAIN,TEST,VIEWS ...
    python benchmarks/epochs.py --table epochs.json

One training for each set, of the network that `auto` takes for minutes, looked at ten times on the way: by the scores
without labels, and by kNN on labelled images. The table has the kNN of the last look, of the one that each score would
keep, and of the one that labels would.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from measure import Rows
from parts import KNN, PARTS, Run
from policies import Set

from moco.device import place
from moco.machine import Machine

LOOKS = 10
COMMON = ("documents", "photos, crops 0.4", "photos")
"""The views that all policies are looked at in."""


def looked_at(images: Set, views: str, steps: int, seed: int, placement) -> list[dict[str, Any]]:
    run, found = Run(images, views, PARTS["base"], steps, seed, placement), []
    for batch in run.batches():
        run.step(batch)
        if run.t.step % (steps // LOOKS) == 0:
            encoder = run.t.model.query_encoder.eval()
            scores = images.scores(encoder, run.recipe.query_view)
            found.append({"step": run.t.step, "scores": scores, "judged": images.judge(encoder)})
            encoder.train()
    return found


def table(rows: list[dict[str, Any]]) -> None:
    print("| set | seed | last | kept by rotation | kept by views found again | kept by labels |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        looks = row["looks"]
        kept = [
            looks[-1],
            max(looks, key=lambda look: look["scores"]["rotation"]),
            max(looks, key=lambda look: sum(look["scores"][f"retrieval: {name} views, head"] for name in COMMON)),
            max(looks, key=lambda look: look["judged"][KNN]),
        ]
        cells = [f"{100 * look['judged'][KNN]:.1f} (step {look['step']:,})" for look in kept]
        print(f"| {row['set']} | {row['seed']} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("epochs.json"))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    if asked.table:
        table(json.loads(asked.table.read_text())["rows"])
        return
    placement = place(Machine(device="cpu", threads=1))
    rows = Rows(asked.out)
    for text in asked.sets:
        name, _, rest = text.partition("=")
        train, test, views = rest.split(",")
        row = {"set": name, "views": views, "steps": asked.steps, "seed": asked.seed}
        if rows.found(**row):
            continue
        looks = looked_at(Set(name, train, test, placement), views, asked.steps, asked.seed, placement)
        rows.add(row | {"looks": looks})
        table(rows[-1:])


if __name__ == "__main__":
    main()
