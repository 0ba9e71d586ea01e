"""Each task on a small real data set: what a short fine-tuning gains over the untrained model.

A small network, short schedules, and few images, so that all of it takes about ten minutes on two quiet cores. A model
is judged on the images it was learnt from, which shows that model, losses and metric fit together, and on others, which
shows what so few images teach.

    python benchmarks/transfer_shows.py --data FOLDER --out runs                # all, FOLDER holds the data sets
    python benchmarks/transfer_shows.py --data FOLDER --out runs --only fly     # one of them
    ... --json benchmarks/results/transfer-shows-cpu2.json                      # written after each
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from measure import versions
from small_layouts import cityscapes_folder, coco_folder, lvis_folder, posed

from moco.commands.transfer import named_task, share_of, transfer
from moco.device import place
from moco.display import Terminal
from moco.machine import Machine
from moco.recipe import override
from moco.transfer.batches import Loader
from moco.transfer.judging import Judge
from moco.transfer.layouts.annotated import Part
from moco.transfer.layouts.open import open_parts
from moco.transfer.model_file import read_model
from moco.transfer.precise import precise_norms
from moco.transfer.recipe import Transfer, Trial
from moco.transfer.results import headline
from moco.transfer.starts import open_starts
from moco.transfer.tuning import build_tuning

Changes = dict[str, Any]
REGIONS: Changes = {"parts.before_nms": (400, 200), "parts.after_nms": (150, 60), "parts.rois": 32}
PYRAMID: Changes = {**REGIONS, "parts.anchors": (8, 16, 32, 64, 128)}
AT_128: Changes = {"batch": 4, "views.short": (128,), "views.test": 128, "views.longest": 192, "optim.lr": 0.16}
AT_192: Changes = {**AT_128, "views.short": (192,), "views.test": 192, "views.longest": 288}


@dataclass(frozen=True)
class Show:
    """A task, its data, and how it is made small."""

    task: str
    data: Callable[[Path, Path], Path]
    """The folder of all data sets and a folder to make one in, to the folder of this one."""
    changes: Changes = field(default_factory=dict)
    labels: float = 1.0

    @property
    def recipe(self) -> Transfer:
        """What it learns by."""
        return override(named_task(self.task), self.changes)


SHOWS = {
    "bccd": Show(
        "detect-voc",
        lambda data, _: data / "bccd_voc",
        {**AT_128, **REGIONS, "parts.anchors": (12, 24, 48), "schedule.steps": 200},
        labels=0.1,
    ),
    "coco": Show(
        "detect-coco",
        lambda data, out: coco_folder(data / "coco_tiny", out, "instances", 12, 24),
        {**AT_128, **PYRAMID, "schedule.steps": 300},
    ),
    "persons": Show(
        "keypoints",
        lambda data, out: coco_folder(data / "coco_tiny", out, "person_keypoints", 8, 24, posed),
        {**AT_192, **PYRAMID, "schedule.steps": 500},
    ),
    "fly": Show(
        "keypoints",
        lambda data, _: data / "fly_keypoints",
        {**AT_128, **PYRAMID, "schedule.steps": 200},
    ),
    "nuclei": Show(
        "detect-coco",
        lambda data, out: coco_folder(data / "nuclei_dsb2018", out, "instances", 60, 24),
        {**AT_192, **PYRAMID, "schedule.steps": 500},
    ),
    "vocseg": Show(
        "segment-voc",
        lambda data, _: data / "vocseg_coco320",
        {"batch": 4, "views.size": 160, "views.scale": (0.7, 1.3), "optim.lr": 0.8, "schedule.steps": 600},
        labels=0.1,
    ),
    "lvis": Show(
        "instance-lvis",
        lambda data, out: lvis_folder(data / "coco_tiny", out, 12, 24),
        {**AT_128, **PYRAMID, "schedule.steps": 300},
    ),
    "cityscapes": Show(
        "instance-cityscapes",
        lambda data, out: cityscapes_folder(data / "coco_tiny", out, 12, 24),
        {**AT_128, **PYRAMID, "schedule.steps": 300},
    ),
}


def main() -> None:
    """Show, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="where the runs go; the same command goes on")
    parser.add_argument("--only", nargs="+", choices=list(SHOWS), default=list(SHOWS))
    parser.add_argument("--start", default="random", help="random, or an encoder")
    parser.add_argument("--backbone", default="resnet10w16")
    parser.add_argument("--steps", type=int, help="of each schedule, where not its own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", type=Path, help="a file that is written after each")
    a = parser.parse_args()
    machine = Machine(device="cpu", precision="fp32", threads=a.threads, workers=a.workers)
    torch.set_num_threads(a.threads)
    kept = json.loads(a.json.read_text()) if a.json and a.json.exists() else {}
    for name in a.only:
        show = SHOWS[name]
        recipe = override(show.recipe, {"schedule.steps": a.steps}) if a.steps else show.recipe
        begun = time.process_time()
        scores = shown(recipe, show, a.data, a.out / name, a.start, a.backbone, machine)
        seconds = round(time.process_time() - begun)
        kept[name] = {
            "task": recipe.name,
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in show.changes.items()},
            "steps": recipe.schedule.steps,
            "backbone": a.backbone,
            "start": a.start,
            "labels": show.labels,
            **scores,
            "seconds of a core": seconds,
        }
        kept["versions"] = versions()
        if a.json:
            a.json.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"{name:11}{line(recipe, scores)}, {seconds} s of a core", flush=True)


def line(recipe: Transfer, scores: Changes) -> str:
    """The number that counts, before and after, on both parts."""
    metric = headline(recipe)
    told = [
        f"{word} ({scores[word]['images']} images) {100 * scores[word]['untrained'][metric]:.1f} -> "
        f"{100 * scores[word]['tuned'][metric]:.1f}"
        for word in ("learnt", "others")
    ]
    return f"{metric}: {', '.join(told)}"


def shown(
    recipe: Transfer, show: Show, data: Path, out: Path, start: str, backbone: str, machine: Machine
) -> dict[str, Any]:
    """The scores of the untrained and the fine-tuned model on the images that are learnt from and on others."""
    folder = show.data(data, out / "data")
    runs = transfer(
        recipe,
        folder,
        out / "runs",
        (start,),
        labels=(show.labels,),
        backbone=backbone,
        looks=1,
        machine=machine,
        tell=Terminal(),
    )
    rows = json.loads((runs / "results.json").read_text())["runs"][0]["curve"]
    learnt, judged = open_parts(recipe.layout, folder, None, None)
    learnt = share_of(learnt, show.labels, 0)
    ends = {"untrained": rows[0], "tuned": rows[-1]}
    others = {word: {k: v for k, v in row.items() if k not in ("step", "epoch")} for word, row in ends.items()}
    own = of_the_learnt(recipe, learnt, runs, start, backbone, machine)
    return {"learnt": {"images": len(learnt.images), **own}, "others": {"images": len(judged.images), **others}}


def of_the_learnt(
    recipe: Transfer, learnt: Part, runs: Path, start: str, backbone: str, machine: Machine
) -> dict[str, Any]:
    """The scores on the images that were learnt from."""
    begin, placement = open_starts([start], backbone)[0], place(machine)
    judge = Judge(recipe, learnt, begin.normalize, placement, 0, runs / "learnt")
    t = build_tuning(Trial(recipe=recipe, start=start), begin.backbone(0), begin.normalize, learnt, placement)
    with precise_norms(t, Loader(recipe, learnt, 0, 0)):
        untrained = judge(t.model)
    (tuned,) = runs.glob("*/model.pt")
    return {"untrained": untrained, "tuned": judge(read_model(tuned).model)}


if __name__ == "__main__":
    main()
