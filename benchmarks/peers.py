"""Training end to end, side by side: ours, lightly's building blocks, the official step, stable-pretraining's method.

The same network, batch, dictionary, files and number of steps for all; each in a process of its own, with its own
loader, views, loss and update. In turns, some steps at a time, so that what else the machine does hits all; the best
turn of each counts. Peers that are not installed are left out and named.

    python benchmarks/peers.py small --data cifar10/train       # ResNet-18, small stem, 32 px, batch 128
    python benchmarks/peers.py large --data photos/ --json      # ResNet-50, 224 px, batch 32
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measure import Apart, answer, show, synchronise, versions
from official import OfficialStep, encoder, loader, official_view
from stable import stable_step, stable_view
from torch import nn
from torch.utils.data import DataLoader

from moco.data.ahead import ahead
from moco.data.loader import MemoryLoader, Plan, WorkerLoader
from moco.data.memory import load_memory
from moco.data.open import open_source
from moco.device import find_device, place
from moco.fast import choose_fast
from moco.machine import Machine
from moco.recipe import override, v2
from moco.training import build_training, train_step


@dataclass(frozen=True)
class Setting:
    """What all of them train."""

    arch: str
    small: bool
    size: int
    batch: int
    queue: int
    steps: int
    """Steps of a turn that are timed."""
    lead: int = 4
    """Steps of a turn before those: as many batches wait in queues of the loaders, made in the others' turns."""


SETTINGS = {
    "small": Setting("resnet18", True, 32, 128, 4096, 6),
    "large": Setting("resnet50", False, 224, 32, 65536, 3),
    "tiny": Setting("resnet18", True, 32, 16, 64, 2, lead=0),
}
Peer = Callable[[], tuple[Iterator[Any], Callable[[Any], object]]]
"""Gives the batches and the step."""


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of images: each of them opens its files itself")
    parser.add_argument("setting", choices=sorted(SETTINGS))
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--without", nargs="*", default=[], help="leave out: lightly, official, stable")
    parser.add_argument("--only", help="one of them, in this process")
    a = parser.parse_args()
    s = SETTINGS[a.setting]
    torch.manual_seed(0)
    found = peers_of(s, a.data, a.workers, a.device)
    if a.only:
        run, device = Run(*found[a.only]()), find_device(a.device)
        answer(lambda steps: {**run.turn(steps, s.batch), "peak_memory_gib": peak_gib(device)})
        return
    names = [name for name, peer in found.items() if peer is not None and name not in a.without]
    runs = {name: Apart("--only", name) for name in names}
    for run in runs.values():
        run.ask(1)  # to warm up
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for _ in range(a.turns):
        for name, run in runs.items():
            time.sleep(s.lead)  # the workers of the one before fill their queues
            if s.lead:
                run.ask(s.lead)
            turns[name].append(run.ask(s.steps))
    for run in runs.values():
        run.end()
    best = {name: max(taken, key=lambda t: t["images_per_second"]) for name, taken in turns.items()}
    ours = best["ours"]["images_per_second"]
    result: dict[str, object] = {
        "benchmark": f"peers_{a.setting}",
        **{f"ratio_to_{n}": round(ours / b["images_per_second"], 2) for n, b in best.items() if n != "ours"},
        **{f"{n}_{key}": round(value, 3) for n, b in best.items() for key, value in b.items()},
        "not_installed": [name for name, peer in found.items() if peer is None],
        **s.__dict__,
        "workers": a.workers,
        **versions(),
    }
    print(json.dumps(result)) if a.json else show(result)


class Run:
    """One of them, on its way."""

    def __init__(self, batches: Iterator[Any], step: Callable[[Any], object]) -> None:
        self.batches, self.step = batches, step

    def turn(self, steps: int, batch: int) -> dict[str, float]:
        """Images a second, and the share of the time that was spent waiting for batches."""
        start, waited = time.perf_counter(), 0.0
        for _ in range(steps):
            before = time.perf_counter()
            one = next(self.batches)
            waited += time.perf_counter() - before
            self.step(one)
        synchronise()
        seconds = max(time.perf_counter() - start, 1e-9)
        return {"images_per_second": steps * batch / seconds, "data_wait": waited / seconds}


def peers_of(s: Setting, data: str, workers: int, name: str) -> dict[str, Peer | None]:
    """Everything that is compared; None for what is not installed."""
    device = find_device(name)
    return {
        "ours": lambda: ours(s, data, workers, name),
        "lightly": (lambda: lightly_blocks(s, data, workers, device)) if importable("lightly") else None,
        "official": lambda: official(s, data, workers, device),
        "stable": (lambda: stable(s, data, workers, device)) if importable("stable_pretraining") else None,
    }


def importable(name: str) -> bool:
    """Whether a peer is installed."""
    import importlib.util

    return importlib.util.find_spec(name) is not None


def ours(s: Setting, data: str, workers: int, device: str) -> tuple[Iterator[Any], Callable[[Any], object]]:
    """Our step, precision and loader as a run chooses them."""
    changes = {
        "batch": s.batch,
        "image_size": s.size,
        "epochs": 1000,
        "dictionary.size": s.queue,
        "encoder.backbone": s.arch,
        "encoder.stem": "small" if s.small else "imagenet",
        "encoder.norm_group": min(32, s.batch),
    }
    recipe = override(v2(), changes)
    source = open_source(data)
    placement = place(Machine(device=device, threads=torch.get_num_threads()))
    training = build_training(recipe, max(len(source), 2 * s.queue), placement)  # the queue may be longer than these
    choose_fast(training, "auto", None, 1 << 20, lambda text: None)
    memory = load_memory(source, workers)[0] if s.size <= 64 else None
    images = MemoryLoader(memory) if memory else WorkerLoader(source, training.views, workers)
    batches = ahead(images.batches(Plan(len(source), s.batch, recipe.epochs, 0), 0), placement.device)
    return batches, lambda batch: train_step(training, batch)


def official(s: Setting, data: str, workers: int, device: torch.device) -> tuple[Iterator[Any], Callable[[Any], Any]]:
    """The official pipeline and step."""
    step = OfficialStep(s.arch, s.small, s.batch, s.queue, 0.999, 0.2, device)
    return forever(loader(files_below(data), official_view(s.size), s.batch, workers)), lambda batch: step(*batch)


def stable(s: Setting, data: str, workers: int, device: torch.device) -> tuple[Iterator[Any], Callable[[Any], object]]:
    """stable-pretraining's method and transforms, in the loader of the official script."""
    step = stable_step(s.arch, s.small, s.batch, s.queue, device)
    return forever(loader(files_below(data), stable_view(s.size), s.batch, workers)), step


def lightly_blocks(
    s: Setting, data: str, workers: int, device: torch.device
) -> tuple[Iterator[Any], Callable[[Any], object]]:
    """lightly's projection head, loss with its memory bank, transform, shuffle and update, put together as it says."""
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import MoCoProjectionHead
    from lightly.models.utils import batch_shuffle, batch_unshuffle, deactivate_requires_grad, update_momentum
    from lightly.transforms.moco_transform import MoCoV2Transform

    net = encoder(s.arch, s.small, max(1, s.batch // 32))
    width = net.fc[0].in_features
    net.fc = nn.Identity()
    query = nn.Sequential(net, MoCoProjectionHead(width, width, 128)).to(device)
    key = copy.deepcopy(query)
    deactivate_requires_grad(key)
    criterion = NTXentLoss(temperature=0.2, memory_bank_size=(s.queue, 128)).to(device)
    optimizer = torch.optim.SGD(query.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)
    dataset = LightlyDataset(data, transform=MoCoV2Transform(input_size=s.size))

    def step(batch: Any) -> object:
        x_q, x_k = (x.to(device) for x in batch[0])
        update_momentum(query, key, m=0.999)
        q = query(x_q)
        with torch.no_grad():
            x_k, order = batch_shuffle(x_k)
            k = batch_unshuffle(key(x_k), order)
        loss = criterion(q, k)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return forever(DataLoader(dataset, s.batch, shuffle=True, drop_last=True, num_workers=workers)), step


def forever(batches: DataLoader) -> Iterator[Any]:
    """One epoch after the other."""
    while True:
        yield from batches


def files_below(data: str) -> list[Path]:
    """The images of a folder."""
    return sorted(p for p in Path(data).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))


def peak_gib(device: torch.device) -> float:
    """Of the GPU, or of this process without its workers."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
    status = Path("/proc/self/status").read_text()  # getrusage would tell the peak of the process that started this one
    return round(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 2**20, 2)


if __name__ == "__main__":
    main()
