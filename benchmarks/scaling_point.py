"""One point of `scaling.py`, in a process of its own, so that its peak memory is its own. Prints one line of JSON.

python benchmarks/scaling_point.py step BATCH KEYS SIZE
python benchmarks/scaling_point.py files FOLDER          # with an empty $XDG_CACHE_HOME
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from measure import copy_rate, matrix_rate
from torch.utils.flop_counter import FlopCounterMode

from moco.data.cache import cache_folder
from moco.data.loader import Batch, Plan, WorkerLoader
from moco.data.open import open_source
from moco.data.source import fingerprint
from moco.device import place
from moco.machine import Machine
from moco.recipe import cifar, override, v2
from moco.training import build_training, train_step


def main() -> None:
    """Measure, print."""
    match sys.argv[1:]:
        case ["step", batch, keys, size]:
            print(json.dumps(step(int(batch), int(keys), int(size))))
        case ["files", folder]:
            print(json.dumps(files(folder)))


def step(batch: int, keys: int, size: int) -> dict[str, float]:
    """Seconds and MiB of a training step, ResNet-18 with the small stem, and the floors under both."""
    placement = place(Machine())
    changes = {"batch": batch, "dictionary.size": keys, "image_size": size, "encoder.norm_group": min(32, batch)}
    training = build_training(override(cifar(), changes), images=1 << 30, placement=placement)
    pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    images = Batch(pixels, np.full((batch, 2), size), np.arange(batch), 0, {})
    with FlopCounterMode(display=False) as counter:
        train_step(training, images)
    dtype = torch.bfloat16 if placement.bf16 else torch.float32
    rates, seconds = [], []
    for _ in range(2):
        rates.append(matrix_rate(placement.device, dtype))
        start = time.perf_counter()
        train_step(training, images)
        seconds.append(time.perf_counter() - start)
    weights = sum(p.nbytes for p in training.model.query_encoder.parameters())
    dictionary = sum(b.nbytes for b in training.dictionary.buffers())
    kept = 4 * weights + dictionary  # two encoders, gradients and velocity
    return {
        "batch": batch,
        "keys": keys,
        "size": size,
        "seconds": round(min(seconds), 4),
        "floor_operations_seconds": round(counter.get_total_flops() / max(rates), 4),
        "floor_bytes_seconds": round((kept + 3 * weights) / copy_rate(placement.device, 1 << 26), 4),
        "peak_mib": round(peak_mib()),
        "floor_kept_mib": round(kept / 2**20),
        "bf16": placement.bf16,
    }


def files(folder: str) -> dict[str, float]:
    """Seconds to list a folder, to open it again, to the first step from then on; what its names take."""
    before = resident_mib()
    start = time.perf_counter()
    source = open_source(folder)
    listed = time.perf_counter()
    open_source(folder)
    opened = time.perf_counter()
    names = resident_mib() - before
    fingerprint(source)
    small = {"batch": 32, "encoder.backbone": "resnet18w16", "dictionary.size": 512, "epochs": 1}
    training = build_training(override(v2(), small), len(source), place(Machine(precision="fp32", threads=1)))
    built = time.perf_counter()
    train_step(training, next(WorkerLoader(source, training.views, 0).batches(Plan.of(training.recipe, source), 0)))
    trained = time.perf_counter()
    remembered = sum(f.stat().st_size for f in cache_folder("index").glob("*.index"))
    return {
        "files": len(source),
        "list_seconds": round(listed - start, 4),
        "floor_list_seconds": round(bare_walk(folder), 5),
        "open_seconds": round(opened - listed, 5),
        "floor_open_seconds": round(remembered / copy_rate(torch.device("cpu"), 1 << 26), 7),
        "fingerprint_and_network_seconds": round(built - opened, 3),
        "first_step_seconds": round(trained - built, 3),
        "names_mib": round(names, 1),
        "floor_names_mib": round(remembered / 2**20, 1),
    }


def bare_walk(folder: str) -> float:
    """Seconds in which Python sees all names below a folder once, and does nothing with them."""
    start = time.perf_counter()
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return time.perf_counter() - start


def resident_mib() -> float:
    """What this process holds now."""
    return status("VmRSS")


def peak_mib() -> float:
    """The most it ever held."""
    return status("VmHWM")


def status(field: str) -> float:
    """One number of the process's status, in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**10


if __name__ == "__main__":
    main()
