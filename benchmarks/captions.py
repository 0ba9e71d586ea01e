"""Do images and captions find each other? On captions made from the names of class folders, for want of a true set.

A caption says the class of its image in one of eight sentences, so it holds no more than a label does; images whose
captions are the same to the letter are partners of one another. Of the pairs held out, recall is the share of images
among whose 1, 5 or 10 nearest captions, each counted once, its own is; an image does not tell which of the eight
sentences was said of it. Chance is the same for vectors drawn at random. Zero-shot classification names the class of
test images by "a photo of a {class}"; chance is the largest class.

    python benchmarks/captions.py cifar/train cifar/test --out captions.json
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from moco.commands.captions import hear
from moco.commands.pretrain import pretrain
from moco.data.groups import Groups
from moco.data.open import open_labelled, open_source
from moco.machine import Machine
from moco.ops import draw
from moco.recipe import image_text, override
from moco.run.directory import RunDirectory
from moco.text.recall import each_once, recalls

SENTENCES = (
    "a photo of a {}", "a picture of a {}", "this is a {}", "one {}", "a {} in the middle", "a small {}",
    "the {} that i saw", "look, a {}",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("captions.json"))
    asked = parser.parse_args()
    known, judged = open_source(asked.train), open_labelled(asked.test)
    rows = json.loads(asked.out.read_text())["rows"] if asked.out.exists() else []
    for seed in range(len(rows), asked.seeds):
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "captions.csv"
            with table.open("w", newline="") as file:
                pen = csv.writer(file)
                pen.writerow(["path", "caption"])
                for i in range(len(known)):
                    sentence = SENTENCES[int(draw.integers(len(SENTENCES), 0, draw.stream("sentence"), i))]
                    pen.writerow([known.file_path(i), sentence.format(known.label(i).replace("_", " "))])
            changes = {
                "encoder.backbone": "resnet10w16", "encoder.stem": "half", "image_size": 32, "batch": 128,
                "optim.lr": 1e-3, "dictionary.size": 1024, "keys.m": 0.98, "epochs": None, "steps": asked.steps,
                "seed": seed, "text.width": 64, "text.vocabulary": 1024, "text.length": 16, "knn.k": 20,
            }  # fmt: skip
            recipe = override(image_text(), changes)
            machine = Machine(device="cpu", threads=1, precision="fp32", workers=0, watch_every=100)
            began = time.process_time()
            run = pretrain(table, Path(folder) / "run", recipe, machine=machine, watch=asked.test, prompt=SENTENCES[0])
            log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
            last = {k: v for row in log for k, v in row.items() if "recall" in k or k in ("knn", "zero_shot")}
            heard = hear(table, open_source(str(table)), recipe, {}, RunDirectory(run))
            groups = torch.from_numpy(Groups.named(heard.held.texts).of)
            at_random = F.normalize(torch.randn(2, len(groups), 64, generator=torch.Generator().manual_seed(0)), dim=-1)
            row = {"seed": seed, **last, "held_out": len(groups)}
            once = each_once(groups)
            at_chance = recalls(at_random[0], at_random[1][once], groups, groups[once])
            row |= {f"chance_recall_{k}": v for k, v in at_chance.items()}
            row["chance_zero_shot"] = float(np.bincount(judged.labels).max() / len(judged.labels))
            row["core_seconds"] = round(time.process_time() - began, 1)
        print(row, flush=True)
        rows.append(row)
        asked.out.write_text(json.dumps({"steps": asked.steps, "rows": rows}, indent=1) + "\n")
    for name in ("recall_1", "recall_5", "recall_10", "image_recall_1", "zero_shot", "knn"):
        found = [100 * row[name] for row in rows]
        chance = 100 * np.mean([row.get(f"chance_{name}", np.nan) for row in rows])
        print(f"{name:14s} {np.mean(found):.1f} +- {np.std(found, ddof=1) if len(found) > 1 else 0:.1f} ({chance:.1f})")


if __name__ == "__main__":
    main()
