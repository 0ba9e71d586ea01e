"""Do images have an up and a down, and which views teach most where they do not?

    python benchmarks/turns.py --out turns.json NAME=TRAIN,TEST ...                        # of an untrained network
    python benchmarks/turns.py --out turns.json --views crops microscopy --steps 250 1200 NAME=TRAIN,TEST ...
    python benchmarks/turns.py --table turns.json

The share of quarter turns that a linear probe finds in the features, and what is left where each image is gray; beside
it kNN and a probe on 5 labels a class (20 draws), untrained and after trainings with each set of views.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from measure import Rows
from policies import Set, base, few

from moco.data.loader import MemoryLoader, Plan
from moco.device import place
from moco.machine import Machine
from moco.recipe import named_views
from moco.scores.probe import MOST_IMAGES, Probe, told_by_colour
from moco.training import build_training, train_step


def looked_at(images: Set, views: str, steps: int, seed: int, placement) -> dict[str, Any]:
    recipe = replace(base(max(1, steps)), seed=seed)
    recipe = replace(recipe, query_view=named_views(views)) if views else recipe
    t = build_training(recipe, len(images.source), placement)
    if steps:
        for batch in MemoryLoader(images.memory).batches(Plan.of(recipe, images.source), 0):
            train_step(t, batch)
    encoder, probe = t.model.query_encoder.eval(), Probe(images.memory, recipe, placement)
    known, judged = (
        images.embed(encoder.backbone, images.centre.normalise(images.pixels[id(one)]))
        for one in (images.known, images.judged)
    )
    classes = int(images.known.labels.max()) + 1
    return {
        "images": probe.images,
        "rotation": round(probe(encoder)["rotation"], 4),
        "without colour": round(probe.without_colour(encoder), 4),
        "kNN": round(images.judge(encoder)["kNN, backbone"], 4),
        "few labels": round(few(known, images.known.labels, judged, images.judged.labels, classes, draws=20), 4),
    }


def table(rows: list[dict[str, Any]]) -> None:
    print("| set | views | steps | turns found | without colour | told by colour | kNN | 5 labels |")
    print("|---|---|---|---|---|---|---|---|")
    for r in rows:
        shown = (f"{100 * r[name]:.1f}" for name in ("rotation", "without colour", "kNN", "few labels"))
        turns, gray, knn, labels = shown
        by_colour = told_by_colour(r["rotation"], r["without colour"], r.get("images", MOST_IMAGES))
        told = "" if r["steps"] else ("yes" if by_colour else "no")
        views = r["views"] or "untrained"
        print(f"| {r['set']} | {views} | {r['steps']:,} | {turns} | {gray} | {told} | {knn} | {labels} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--views", nargs="*", default=[])
    parser.add_argument("--steps", type=int, nargs="*", default=[250])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("turns.json"))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    if asked.table:
        table(json.loads(asked.table.read_text())["rows"])
        return
    placement = place(Machine(device="cpu", threads=1))
    rows = Rows(asked.out)
    for text in asked.sets:
        name, _, rest = text.partition("=")
        images = Set(name, *rest.split(","), placement)
        for views, steps in [("", 0), *((views, steps) for views in asked.views for steps in asked.steps)]:
            row = {"set": name, "views": views, "steps": steps, "seed": asked.seed}
            if rows.found(**row):
                continue
            rows.add(row | looked_at(images, views, steps, asked.seed, placement))
            print(json.dumps(rows[-1]), flush=True)
    table(rows)


if __name__ == "__main__":
    main()
