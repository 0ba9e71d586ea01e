"""Run by tests/test_commands_transfer.py, alone or by torchrun: some steps of Mask R-CNN, and what came of them."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from moco import distributed
from moco.commands.transfer import transfer
from moco.machine import Machine
from moco.recipe import override
from moco.run.log import read_log
from moco.run.tensors import read_tensors
from moco.transfer.recipe import detect_coco_c4

MACHINE = Machine(device="cpu", precision="fp32", threads=1, workers=0, log_every=1, compare_every=1)
CHANGES = {
    "batch": 4,
    "schedule.steps": 3,
    "views.short": (56, 64),
    "views.test": 64,
    "parts.before_nms": (100, 50),
    "parts.after_nms": (30, 15),
    "parts.rois": 16,
    "parts.anchors": (8, 16, 32),
}


def main(folder):
    folder = Path(folder)
    recipe = override(detect_coco_c4(), CHANGES)
    with distributed.processes("cpu", 60):
        count = distributed.count()
        for case, group in (("own", 2), ("shared", None)):
            out = folder / f"{case}-{count}"
            transfer(
                replace(recipe, norm_group=group), folder / "data", out, backbone="resnet10w8", looks=1, machine=MACHINE
            )
            if distributed.main_process():
                rows = read_log(out / "random-seed0/log.jsonl")
                scores = {k: v for k, v in rows[-1].items() if k.startswith(("AP", "mask"))}
                losses = torch.tensor([row["loss"] for row in rows if "loss" in row])
                model = read_tensors(out / "random-seed0/model.pt")["model"]
                torch.save({"losses": losses, "model": model, "scores": scores}, folder / f"{case}-{count}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
