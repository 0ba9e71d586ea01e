"""What fine-tuning gains from MoCo's start: nuclei and blood cells, two shares of the labels, three seeds, over steps.

MoCo sees Imagenette's training images together with the unlabelled training images of both sets; then both sets are
learnt from it and from random weights, by the same schedule, order and views. About an hour and a half on two cores, of
which pretraining takes most; the same command goes on where it was stopped.

    python benchmarks/transfer_figure.py --data FOLDER --out runs                 # all, FOLDER holds the data sets
    python benchmarks/transfer_figure.py --data FOLDER --out runs --only bccd     # one set
    ... --json benchmarks/results/transfer-cpu2.json --pictures docs              # written after each
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moco.commands.pretrain import pretrain
from moco.commands.transfer import named_task, transfer
from moco.display import Terminal
from moco.machine import Machine
from moco.recipe import override
from moco.transfer.layouts.voc import read_voc

PRETRAINING: dict[str, Any] = {"encoder.backbone": "resnet18w16", "image_size": 64, "epochs": 25}
SEEDS, LOOKS = (0, 1, 2), 4


@dataclass(frozen=True)
class Learnt:
    """A data set, its task, and by what it is learnt."""

    task: str
    folder: str
    changes: dict[str, Any]
    shares: tuple[float, ...] = (0.1, 1.0)


NUCLEI: dict[str, Any] = {"batch": 8, "optim.lr": 0.2, "views.size": 128, "views.scale": (0.8, 1.6)}
SETS = {
    "nuclei": Learnt("segment", "nuclei_dsb2018", {**NUCLEI, "schedule.steps": 200}),
    "nuclei-short": Learnt("segment", "nuclei_dsb2018", {**NUCLEI, "schedule.steps": 100}, shares=(0.1,)),
    "bccd": Learnt(
        "detect-voc",
        "bccd_voc",
        {
            "batch": 4,
            "optim.lr": 0.48,
            "views.short": (112, 128),
            "views.test": 128,
            "schedule.steps": 200,
            "parts.before_nms": (400, 200),
            "parts.after_nms": (150, 80),
            "parts.rois": 32,
            "parts.anchors": (12, 24, 48),
        },
    ),
}


def main() -> None:
    """Pretrain, fine-tune, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="where the runs go")
    parser.add_argument("--moco", type=Path, help="a run that was pretrained so before")
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where all scores and curves go, beside what else is there")
    parser.add_argument("--pictures", type=Path, help="a folder for transfer-nuclei.png and the others")
    a = parser.parse_args()
    machine = Machine(device="cpu", precision="fp32", threads=a.threads, workers=a.workers)
    moco = a.moco or pretrain(together(a.data, a.out / "images"), a.out / "moco", changes=PRETRAINING, machine=machine)
    for name in a.only:
        one = SETS[name]
        recipe = override(named_task(one.task), one.changes)
        runs = transfer(
            recipe,
            a.data / one.folder,
            a.out / name,
            ("random", str(moco)),
            labels=one.shares,
            seeds=a.seeds,
            looks=LOOKS,
            machine=machine,
            tell=Terminal(),
        )
        print((runs / "results.md").read_text(), flush=True)
        if a.json:
            kept = json.loads(a.json.read_text()) if a.json.exists() else {}
            settings = {k: list(v) if isinstance(v, tuple) else v for k, v in one.changes.items()}
            command = f"python benchmarks/transfer_figure.py --data FOLDER --out runs --only {name}"
            kept[name] = {"command": command, "settings": settings, **json.loads((runs / "results.json").read_text())}
            a.json.write_text(json.dumps(kept, indent=1) + "\n")
        if a.pictures:
            shutil.copy(runs / "curves.png", a.pictures / f"transfer-{name}.png")


def together(data: Path, out: Path) -> Path:
    """A folder with the training images of all three sets, none with its labels."""
    blood, _ = read_voc(data / "bccd_voc", None, None)
    nuclei = (data / "nuclei_dsb2018" / "images" / "train").rglob("*.jpg")
    nette = (data / "imagenette128" / "train").rglob("*.jpg")
    for name, paths in {"nette": nette, "nuclei": nuclei, "bccd": [image.path for image in blood.images]}.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        for path in sorted(paths):
            place = out / name / path.name
            if not place.exists():
                place.symlink_to(path.resolve())
    return out


if __name__ == "__main__":
    main()
