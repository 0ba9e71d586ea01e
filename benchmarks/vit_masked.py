"""Does it gain time to hide patches from queries? Trainings of the same time, by the share that is kept.

`v3-small` with a ViT of 4 blocks, 96 wide, and 64 patches of 4 px; batches of 128, half an epoch of warm-up. For each
seed: the seconds (looks not counted) until each share finds what all patches end with, and what all shares have found.
kNN (k 20) is on the class token's features. Run again, it goes on with the rows of `--out`. About 5 minutes of a core
for each share and seed.

    python benchmarks/vit_masked.py cifar/train cifar/test --out vit-masked.json
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from measure import Rows
from same_knn import Look, learnt, reached

from moco.device import keep_freed_memory, place
from moco.machine import Machine
from moco.recipe import KNN, Recipe, override, v3_small
from moco.recipe.vit import vit_name


def recipe_of(backbone: str, batch: int, keep: float, seed: int) -> Recipe:
    """The recipe with so large a share of patches for queries."""
    vit = vit_name(backbone)
    assert vit is not None
    changes = {"encoder.backbone": backbone, "image_size": vit.side, "batch": batch, "seed": seed}
    recipe = override(v3_small(), changes | {"schedule.warmup_epochs": 0.5, "query_view.keep": keep})
    return replace(recipe, knn=KNN(k=20, temperature=0.07, features="backbone"))


def times(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """For each seed that has all patches: seconds of each share to what those end with, and to what all have found."""
    found = []
    for seed in sorted({row["seed"] for row in rows}):
        curves = {row["keep"]: [Look(*look) for look in row["looks"]] for row in rows if row["seed"] == seed}
        if 1.0 not in curves:
            continue
        ends = curves[1.0][-1].knn
        shared = min(max(look.knn for look in curve) for curve in curves.values())
        for name, knn in (("the end of all patches", ends), ("what all have found", shared)):
            seconds = {str(keep): reached(curve, knn) for keep, curve in curves.items()}
            found.append({"seed": seed, "to": name, "knn": round(knn, 4), "seconds": seconds})
    return found


def main() -> None:
    """Train, look, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--keeps", type=float, nargs="+", default=[1.0, 0.5, 0.25])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=240, help="of training, for each")
    parser.add_argument("--looks", type=int, default=8)
    parser.add_argument("--backbone", default="vit4w96p4s32")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("vit-masked.json"))
    a = parser.parse_args()
    keep_freed_memory()
    placement = place(Machine(device=a.device, precision=a.precision, threads=torch.get_num_threads()))
    shape = {name: getattr(a, name) for name in ("seconds", "backbone", "batch", "precision")}
    rows = Rows(a.out)
    for seed in range(a.seeds):
        for keep in a.keeps:
            wanted = {"keep": keep, "seed": seed, **shape}
            if rows.found(**wanted):
                continue
            curve = learnt(recipe_of(a.backbone, a.batch, keep, seed), a.train, a.test, a.seconds, a.looks, placement)
            row = wanted | {"step_s": round(curve[-1].seconds / curve[-1].step, 4)}
            row["looks"] = [(look.step, look.seconds, round(look.knn, 4)) for look in curve]
            print(row, file=sys.stderr, flush=True)
            same = [row for row in [*rows, row] if shape.items() <= row.items()]
            rows.add(row, times=times(same))
    print(json.dumps(times([row for row in rows if shape.items() <= row.items()]), indent=1))


if __name__ == "__main__":
    main()
