"""What holds a small ViT back in a short run? `v3-small` with one thing changed at a time, by kNN after some steps.

A ViT of 4 blocks, 96 wide, patches of 8 px; batches of 128, half an epoch of warm-up. kNN (k 20) on the class token's
features. Run again, it goes on with the rows of `--out`.

    python benchmarks/vit_short.py cifar/train cifar/test --out vit-short.json
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measure import Rows

from moco.commands.watch import KNNWatch
from moco.data.labelled import Labelled, alike
from moco.data.loader import MemoryLoader, Plan
from moco.data.memory import load_memory
from moco.data.open import open_labelled, open_source
from moco.device import place
from moco.machine import Machine
from moco.preprocess import Preprocess
from moco.recipe import KNN, Recipe, named_views, override, v3_small
from moco.training import build_training, train_step

BASE = {"encoder.backbone": "vit4w96p8s32", "batch": 128, "schedule.warmup_epochs": 0.5}
ARMS = {
    "nothing": {},
    "half of the patches": {"query_view.keep": 0.5},
    "4.5 epochs of warm-up": {"schedule.warmup_epochs": 4.5},
    "m 0.9": {"keys.m": 0.9},
    "rate 0.003": {"optim.lr": 3e-3},
    "patches learnt": {"encoder.frozen_patches": False},
    "views crops": "crops",
    "views gentle": "gentle",
    "views near": "near",
    "patches of 4 px": {"encoder.backbone": "vit4w96p4s32"},
}


def recipe_of(change: dict[str, object] | str, steps: int, seed: int) -> Recipe:
    """The recipe with the change."""
    recipe = v3_small()
    if isinstance(change, str):
        recipe, change = replace(recipe, query_view=named_views(change), key_view=None), {}
    recipe = override(recipe, BASE | {"epochs": None, "steps": steps, "seed": seed} | change)
    return replace(recipe, knn=KNN(k=20, temperature=0.07, features="backbone"))


def main() -> None:
    """Train, look, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--out", type=Path, default=Path("vit-short.json"))
    asked = parser.parse_args()
    known, judged = alike(open_labelled(asked.train), open_labelled(asked.test))
    labelled = Labelled(judged.source, judged.labels, judged.classes, known)
    images = open_source(asked.train)
    memory, _ = load_memory(images, 2)
    assert memory is not None
    placement = place(Machine(device="cpu", threads=torch.get_num_threads(), precision=asked.precision))
    rows = Rows(asked.out)
    for seed in range(asked.seeds):
        for arm in asked.arms:
            if rows.found(arm=arm, seed=seed, steps=asked.steps):
                continue
            recipe = recipe_of(ARMS[arm], asked.steps, seed)
            t = build_training(recipe, len(images), placement)
            look = KNNWatch(labelled, recipe, Preprocess.of(recipe), placement, 0)
            row = {"arm": arm, "seed": seed, "steps": asked.steps, "untrained": look(t.model.query_encoder)["knn"]}
            began, won = time.process_time(), []
            for batch in MemoryLoader(memory).batches(Plan.of(recipe, images), 0):
                won.append(float(train_step(t, batch).accuracy))
            row |= {"core_seconds": round(time.process_time() - began, 1), "accuracy": float(np.mean(won[-20:]))}
            row["knn"] = look(t.model.query_encoder)["knn"]
            print(row, file=sys.stderr, flush=True)
            rows.add(row)


if __name__ == "__main__":
    main()
