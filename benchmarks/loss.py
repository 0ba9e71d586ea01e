"""The loss over a dictionary, streamed, against the plain form: time, and memory beyond the dictionary.

Forward and backward at N 256, C 128. Each form runs in a process of its own, so that the peak of one does not hide the
other's; times are taken in turns within one process, the best of each counts.

    python benchmarks/loss.py [--keys 65536] [--stores] [--json]
    python benchmarks/loss.py --keys 1048576 --only ours     # a million keys
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from moco.dictionary import KeyQueue
from moco.ops.info_nce import info_nce, info_nce_plain

QUERIES, DIM, TEMPERATURE = 256, 128, 0.2
STORES = ("bf16", "int8")


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--keys", type=int, default=65536)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--stores", action="store_true", help="ours from dictionaries in bf16 and int8, too")
    parser.add_argument("--only", choices=["ours", "plain"], help="leave the other out, where it does not fit")
    parser.add_argument("--peak-of", choices=["ours", "plain", *STORES], help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.peak_of:
        print(peak_mib(a.peak_of, a.keys))
        return
    names = ([a.only] if a.only else ["ours", "plain"]) + (list(STORES) if a.stores else [])
    works = {name: work(name, a.keys) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(a.turns):
        for name, run in works.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    best = {name: min(values) for name, values in seconds.items()}
    mib = {name: child_peak(name, a.keys) for name in names}
    result = {
        "benchmark": "loss",
        "keys": a.keys,
        "dictionary_mib": {name: round(dictionary_mib(name, a.keys), 1) for name in names},
        "milliseconds": {name: round(1000 * s, 2) for name, s in best.items()},
        "extra_mib": {name: round(m, 1) for name, m in mib.items()},
        "gflops": {name: round(4 * QUERIES * a.keys * DIM / s / 1e9, 1) for name, s in best.items()},
        "matrix_gflops": round(matrix_rate() / 1e9, 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if not a.only:
        result["ratio"] = round(best["plain"] / best["ours"], 2)
        result["memory_share"] = round(mib["ours"] / mib["plain"], 3)
    if a.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:18} {value}")


def work(name: str, keys: int) -> Callable[[], object]:
    """Loss and gradient of the queries against a dictionary of so many keys."""
    torch.manual_seed(0)
    q = F.normalize(torch.randn(QUERIES, DIM), dim=1).requires_grad_()
    k = F.normalize(torch.randn(QUERIES, DIM), dim=1)
    contrast = queue(name, keys).look_up(q, k, torch.empty(0), 0)

    def run() -> object:
        q.grad = None
        loss = info_nce_plain(q, contrast, TEMPERATURE) if name == "plain" else info_nce(q, contrast, TEMPERATURE).loss
        return loss.backward()

    return run


def queue(name: str, keys: int) -> KeyQueue:
    """A dictionary of random keys, in the store of that name or in fp32."""
    return KeyQueue(keys, DIM, torch.Generator().manual_seed(0), name if name in STORES else "fp32")


def dictionary_mib(name: str, keys: int) -> float:
    """What its keys take."""
    return sum(b.nbytes for n, b in queue(name, keys).named_buffers() if n != "pointer") / 2**20


def matrix_rate() -> float:
    """Operations a second of the forward product alone, the floor of half the work."""
    a, b = torch.randn(QUERIES, DIM), torch.randn(8192, DIM).T
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * QUERIES * 8192 * DIM / best


def child_peak(name: str, keys: int) -> float:
    """MiB that one loss takes beyond the dictionary, measured in a fresh process."""
    command = [sys.executable, __file__, "--peak-of", name, "--keys", str(keys)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def peak_mib(name: str, keys: int) -> float:
    """MiB by which the peak of one loss rises above what the process holds before it (Linux counts them)."""
    work(name, 64)()  # torch makes its own room the first time
    run = work(name, keys)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
    before = status_mib("VmRSS")
    run()
    return status_mib("VmHWM") - before


def status_mib(field: str) -> float:
    """One number of the process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**10


if __name__ == "__main__":
    main()
