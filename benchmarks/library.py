"""The rate of the 25-line loop beside that of `moco pretrain` with the same settings: in turns, the best of each.

Under a minute on two cores as it is; a smaller share of a machine takes longer, and says less.

python benchmarks/library.py --out benchmarks/results/library-cpu2.json
python benchmarks/library.py --device cuda --precision bf16 --compile off --batch 256 --size 224 --backbone resnet50
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import moco
from moco.commands.pretrain import pretrain
from moco.machine import Machine
from moco.recipe import override, v2

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
from moco_in_25_lines import train

WINDOW = 10
"""Steps that are timed together, as a run's log does."""


def rate_of_a_run(images: Path, asked: argparse.Namespace, machine: Machine) -> float:
    """Images a second by the log of a run, the median after its first rows."""
    changes = {
        "encoder.backbone": asked.backbone,
        "encoder.stem": "small",
        "encoder.norm_group": asked.group,
        "image_size": asked.size,
        "batch": asked.batch,
        "epochs": None,
        "steps": asked.steps,
        "dictionary.size": asked.keys,
    }
    with tempfile.TemporaryDirectory() as folder:
        whole = -(-asked.steps // (asked.images // asked.batch))  # in epochs: a run that ends there writes no report
        run = pretrain(images, Path(folder) / "run", override(v2(), changes), machine=machine, until=whole)
        rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    rates = [row["images_per_second"] for row in rows if "loss" in row and row["step"] > 2 * WINDOW]
    return statistics.median(rates)


def rate_of_the_loop(images: Path, asked: argparse.Namespace, machine: Machine) -> float:
    """Images a second of `train`, the median of windows of so many steps."""
    pixels = torch.from_numpy(np.load(images)).permute(0, 3, 1, 2).contiguous()
    data = torch.utils.data.TensorDataset(pixels, torch.arange(len(pixels)))
    order = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(data), asked.batch, drop_last=True)
    loader = torch.utils.data.DataLoader(data, sampler=order, batch_size=None)
    epochs = -(-asked.steps // len(order))
    rates, start = [], 0.0
    steps = train(loader, epochs, asked.backbone, size=asked.size, keys=asked.keys, group=asked.group, machine=machine)
    for step, (_, loss) in enumerate(steps, 1):
        if step % WINDOW == 0:
            float(loss)  # wait for the device
            now = time.perf_counter()
            if step > 2 * WINDOW:
                rates.append(WINDOW * asked.batch / (now - start))
            start = now
        if step == asked.steps:
            break
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--compile", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--group", type=int, default=32)
    parser.add_argument("--keys", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--backbone", default="resnet10w16")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    machine = moco.Machine(
        device=asked.device, precision=asked.precision, compile=asked.compile, threads=asked.threads, log_every=WINDOW
    )
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        np.save(images, np.random.default_rng(0).integers(0, 256, (asked.images, 32, 32, 3), dtype=np.uint8))
        rates: dict[str, list[float]] = {"moco pretrain": [], "25 lines": []}
        for _ in range(asked.turns):
            rates["moco pretrain"].append(rate_of_a_run(images, asked, machine))
            rates["25 lines"].append(rate_of_the_loop(images, asked, machine))
    best = {name: max(found) for name, found in rates.items()}
    ratio = best["25 lines"] / best["moco pretrain"]
    for name, rate in best.items():
        print(f"{name:14} {rate:10,.1f} images/s")
    print(f"{'ratio':14} {ratio:10.3f}   (the bar is 0.95)")
    if asked.out is not None:
        settings = {name: str(value) for name, value in vars(asked).items() if name != "out"}
        found = {"settings": settings, "rates": rates, "ratio": ratio, "torch": torch.__version__}
        asked.out.write_text(json.dumps(found | {"machine": platform.processor()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
