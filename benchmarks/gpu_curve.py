"""The official CIFAR-10 recipe and a plain port of the official demo, on the same files: kNN curve and time."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path

import torch
from measure import synchronise
from official import DemoStep, demo_view, loader
from torch import nn

from moco.commands.pretrain import pretrain
from moco.commands.watch import KNNWatch, open_watched
from moco.device import Placement
from moco.encoder import Encoder
from moco.machine import Machine
from moco.preprocess import Preprocess
from moco.recipe import Recipe, cifar, override

EPOCHS = (1, 5, 20, 50, 100, 200)
"""Where the curves are compared."""


def curve(
    data: Path, out: Path, epochs: tuple[int, ...], symmetric: bool, machine: Machine, changes: dict[str, object]
) -> dict[str, object]:
    """kNN of ours and of the port after each of these epochs, and the seconds that training took."""
    changes = {"epochs": epochs[-1], "loss.symmetric": symmetric, "loss.halves": "sum", **changes}
    recipe = override(cifar(), changes)
    ours, ours_seconds = our_curve(data, out, recipe, epochs, machine)
    port, port_seconds = port_curve(data, recipe, epochs, machine)
    return {
        "epochs": list(epochs),
        "ours_knn": [round(ours[e], 4) for e in epochs],
        "port_knn": [round(port[e], 4) for e in epochs],
        "ours_no_lower": all(ours[e] >= port[e] for e in epochs),
        "ours_seconds": round(ours_seconds, 1),
        "port_seconds": round(port_seconds, 1),
        "seconds_are": "training alone: without the start, the measuring of kNN and the checkpoints",
        "chosen": json.loads((out / "machine.json").read_text())["fast_reason"],
    }


def our_curve(
    data: Path, out: Path, recipe: Recipe, epochs: tuple[int, ...], machine: Machine
) -> tuple[dict[int, float], float]:
    """One run, stopped where it is measured; the seconds are those that its log counts."""
    for epoch in epochs:
        pretrain(data / "train", out, recipe, watch=data, machine=machine, until=epoch)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    seconds, before = 0.0, 0
    for row in (r for r in rows if "loss" in r):
        seconds += (row["step"] - before) * recipe.batch / row["images_per_second"]
        before = row["step"]
    return {row["epoch"]: row["knn"] for row in rows if "knn" in row}, seconds


def port_curve(data: Path, recipe: Recipe, epochs: tuple[int, ...], machine: Machine) -> tuple[dict[int, float], float]:
    """The demo's loop, written as it is: fp32, eager, PIL views in worker processes."""
    device = torch.device(machine.device if machine.device != "auto" else "cuda")
    torch.manual_seed(0)
    files = sorted(p for p in (data / "train").rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    batches = loader(files, demo_view(recipe.image_size), recipe.batch, machine.decoders)
    symmetric, size = recipe.loss.symmetric, recipe.dictionary.size
    step = DemoStep(recipe.encoder.backbone, recipe.batch, size, symmetric, epochs[-1], device)
    placement = Placement(device, False, False, torch.get_num_threads(), "")
    judge = KNNWatch(
        open_watched(data), recipe, Preprocess(recipe.image_size, recipe.normalize), placement, machine.decoders
    )
    knn, seconds = {}, 0.0
    for epoch in range(1, epochs[-1] + 1):
        start = time.perf_counter()
        step.set_epoch(epoch)
        for x_q, x_k in batches:
            step(x_q, x_k)
        synchronise()
        seconds += time.perf_counter() - start
        if epoch in epochs:
            knn[epoch] = judge(as_encoder(step.encoder_q))["knn"]
    return knn, seconds


def as_encoder(net: nn.Module) -> Encoder:
    """A copy of the port's network as one of ours, to be judged in the same way."""
    net = copy.deepcopy(net)
    head, net.fc = net.fc, nn.Identity()
    return Encoder(net, head)
