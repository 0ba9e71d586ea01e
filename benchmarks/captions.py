"""Do images and captions find each other? On captions made from class names or from boxes, for want of a true set.

Of class folders, a caption says the class of its image in one of eight sentences, so it holds no more than a label
does; images whose captions are the same to the letter are partners of one another. Of boxes (`--boxes`, a folder in
COCO's layout), it names what is to be seen and how many of each ("two dogs, a person and a car"), so that nearly every
caption is of one image.

Of the pairs held out, recall is the share of images among whose 1, 5 or 10 nearest captions, each counted once, its own
is; an image does not tell which of the eight sentences was said of it. Chance is the same for vectors drawn at random.
Zero-shot classification names the class of test images by "a photo of a {class}"; chance is the largest class.

    python benchmarks/captions.py cifar/train cifar/test --out captions.json
    python benchmarks/captions.py --boxes coco_tiny --out captions-boxes.json
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from boxes_told import write_table
from measure import Rows, versions
from torch.nn import functional as F

from moco.commands.captions import hear
from moco.commands.pretrain import pretrain
from moco.data.groups import Groups
from moco.data.open import open_labelled, open_source
from moco.machine import Machine
from moco.ops import draw
from moco.recipe import Recipe, image_text, override
from moco.run.directory import RunDirectory
from moco.text.recall import each_once, recalls

SENTENCES = (
    "a photo of a {}", "a picture of a {}", "this is a {}", "one {}", "a {} in the middle", "a small {}",
    "the {} that i saw", "look, a {}",
)  # fmt: skip


SMALL = {
    "encoder.backbone": "resnet10w16", "encoder.stem": "half", "image_size": 32, "batch": 128, "optim.lr": 1e-3,
    "dictionary.size": 1024, "keys.m": 0.98, "text.width": 64, "text.vocabulary": 1024, "text.length": 16, "knn.k": 20,
}  # fmt: skip
FEW = {"image_size": 64, "batch": 64, "dictionary.size": 128, "text.held_out": 0.2}
"""What a few hundred images take beside it."""


def sentences(train: str, folder: Path) -> Path:
    """A table of all images with the name of their class in one of the sentences."""
    known, table = open_source(train), folder / "captions.csv"
    with table.open("w", newline="") as file:
        pen = csv.writer(file)
        pen.writerow(["path", "caption"])
        for i in range(len(known)):
            sentence = SENTENCES[int(draw.integers(len(SENTENCES), 0, draw.stream("sentence"), i))]
            pen.writerow([known.file_path(i), sentence.format(known.label(i).replace("_", " "))])
    return table


def trained(table: Path, folder: Path, recipe: Recipe, test: str | None) -> dict[str, float]:
    """The last of what the run measured, and the same at chance."""
    machine = Machine(device="cpu", threads=1, precision="fp32", workers=0, watch_every=100)
    began = time.process_time()
    run = pretrain(table, folder / "run", recipe, machine=machine, watch=test, prompt=SENTENCES[0])
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    row = {k: v for row in log for k, v in row.items() if "recall" in k or k in ("knn", "zero_shot")}
    heard = hear(table, open_source(str(table)), recipe, {}, RunDirectory(run))
    groups = torch.from_numpy(Groups.named(heard.held.texts).of)
    at_random = F.normalize(torch.randn(2, len(groups), 64, generator=torch.Generator().manual_seed(0)), dim=-1)
    row["held_out"] = len(groups)
    once = each_once(groups)
    at_chance = recalls(at_random[0], at_random[1][once], groups, groups[once])
    row |= {f"chance_recall_{k}": v for k, v in at_chance.items()}
    if test is not None:
        labels = open_labelled(test).labels
        row["chance_zero_shot"] = float(np.bincount(labels).max() / len(labels))
    return row | {"core_seconds": round(time.process_time() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", nargs="?")
    parser.add_argument("test", nargs="?")
    parser.add_argument("--boxes", type=Path, help="a folder in COCO's layout, instead of class folders")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--out", type=Path, default=Path("captions.json"))
    asked = parser.parse_args()
    if (asked.train is None) == (asked.boxes is None):
        parser.error("name class folders (TRAIN TEST), or --boxes FOLDER")
    rows = Rows(asked.out)
    for seed in range(len(rows), asked.seeds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            few = asked.boxes is not None
            table = write_table(asked.boxes, folder, 80) if few else sentences(asked.train, folder)
            changes = SMALL | (FEW if few else {}) | {"epochs": None, "steps": asked.steps, "seed": seed}
            row = {"seed": seed, **trained(table, folder, override(image_text(), changes), asked.test)}
        print(row, file=sys.stderr, flush=True)
        rows.add(row, steps=asked.steps)
    if asked.json:
        print(json.dumps({"benchmark": "captions", "steps": asked.steps, "rows": rows, **versions()}))
        return
    for name in ("recall_1", "recall_5", "recall_10", "image_recall_1", "zero_shot", "knn"):
        found = [100 * row[name] for row in rows if name in row]
        if not found:
            continue
        chance = [100 * row[f"chance_{name}"] for row in rows if f"chance_{name}" in row]
        beside = f" (chance {np.mean(chance):.1f})" if chance else ""
        print(f"{name:14s} {np.mean(found):.1f} +- {np.std(found, ddof=1) if len(found) > 1 else 0:.1f}{beside}")


if __name__ == "__main__":
    main()
