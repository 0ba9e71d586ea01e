"""What shuffling BN sends over the network: ours against the official code's, measured and on paper.

The official code gathers the finished float views of the whole batch on every process (`_batch_shuffle_ddp`), and then
the keys of the whole batch. Ours sends each process the uint8 crops of its share, or none where all processes hold the
images in memory, and each key home. What both do besides (the gradients, the keys for the queue) is left out.

Bytes are those that the kernel counts for the TCP connections of each process (TCP_INFO), over loopback, with gloo.

    python benchmarks/shuffle_bytes.py           # a table
    python benchmarks/shuffle_bytes.py --json    # one line
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from measure import versions
from torch import Tensor

from moco import distributed
from moco.ops import draw
from moco.shuffle import Order

NETWORKS = {
    "100 Gb/s for a node of 8 GPUs": 100e9 / 8 / 8,
    "200 Gb/s for each GPU": 200e9 / 8,
}
"""Assumed: bytes a second that each process receives; latency is left out."""


def on_paper(processes: int, images: int, size: int, dim: int) -> dict[str, float]:
    """Bytes that each process receives (and sends) in a step, `images` being its share of the batch."""
    others, pixels, key = processes - 1, 3 * size * size, 4 * dim
    share = images * others / processes
    return {
        "ours, cut by workers": share * (pixels + key),
        "ours, in memory": share * key,
        "official": images * others * (4 * pixels + key) + 8 * images * others,
    }


def main() -> None:
    """Measure with 2 and 4 processes, compute for more, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--images", type=int, default=32, help="images of a process")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.worker:
        measure(a.images, a.size, a.dim, a.turns)
        return
    own = ["--images", a.images, "--size", a.size, "--dim", a.dim, "--turns", a.turns, "--worker"]
    measured = {p: json.loads(torchrun(p, own)) for p in (2, 4)}
    paper = {p: on_paper(p, a.images, a.size, a.dim) for p in (2, 4, 8, 64, 1024)}
    if a.json:
        facts = {"benchmark": "shuffle", "images": a.images, "size": a.size, "dim": a.dim}
        print(json.dumps(facts | {"measured": measured, "on_paper": paper, "bytes_a_second": NETWORKS} | versions()))
        return
    for p, found in measured.items():
        for name, one in found.items():
            row = (
                f"{one['received']:14,.0f} {one['sent']:14,.0f} {paper[p][name]:14,.0f} {1e3 * one['seconds']:9.1f} ms"
            )
            print(f"P = {p:<5} {name:22}{row}")
    print("\nbytes a process and step: received, sent, on paper; time over loopback. On paper, time on networks of")
    for p in (8, 64, 1024):
        for name, received in paper[p].items():
            row = "".join(f"  {1e3 * received / rate:9.2f} ms at {words}" for words, rate in NETWORKS.items())
            print(f"P = {p:<5} {name:22}{received:14,.0f}{row}")


def torchrun(processes: int, arguments: list[object]) -> str:
    """What process 0 of several prints."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, __file__]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*map(str, start + arguments)], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    return done.stdout


def measure(images: int, size: int, dim: int, turns: int) -> None:
    """Print bytes and seconds of each way, of the process with the most, after a check that all bring the same."""
    with distributed.processes("cpu", 60):
        me, count = distributed.number(), distributed.count()
        pixels = torch.from_numpy(np.random.default_rng(me).integers(0, 256, (images, 3, size, size), dtype=np.uint8))
        views, keys = pixels / 255, torch.randn(images, dim, generator=torch.Generator().manual_seed(me))
        orders = [draw.permutation(images * count, turn) for turn in range(turns)]

        def ours(order: Order) -> tuple[Tensor, Tensor]:
            return distributed.permute(pixels, order), distributed.permute(keys, np.argsort(order))

        def in_memory(order: Order) -> tuple[None, Tensor]:
            return None, distributed.permute(keys, np.argsort(order))

        def theirs(order: Order) -> tuple[Tensor, Tensor]:
            return official(views, keys, torch.from_numpy(order))

        (crops, home), (_, same), (floats, expected) = (way(orders[0]) for way in (ours, in_memory, theirs))
        assert torch.equal(crops / 255, floats)
        assert torch.equal(home, expected)
        assert torch.equal(same, expected)
        ways = {"ours, cut by workers": ours, "ours, in memory": in_memory, "official": theirs}
        each = distributed.joined([{name: cost(way, orders) for name, way in ways.items()}])
        if me == 0:
            most = {name: {k: max(one[name][k] for one in each) for k in each[0][name]} for name in ways}
            print(json.dumps(most))


def official(x: Tensor, k: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """`_batch_shuffle_ddp` and `_batch_unshuffle_ddp` of facebookresearch/moco, the order drawn by process 0."""
    every = concat_all_gather(x)
    order = order if distributed.number() == 0 else torch.empty_like(order)
    dist.broadcast(order, src=0)
    home = torch.argsort(order)
    shuffled = every[order.view(distributed.count(), -1)[distributed.number()]]
    keys = concat_all_gather(k)
    return shuffled, keys[home.view(distributed.count(), -1)[distributed.number()]]


def concat_all_gather(x: Tensor) -> Tensor:
    """As in the official code."""
    parts = [torch.ones_like(x) for _ in range(distributed.count())]
    dist.all_gather(parts, x)
    return torch.cat(parts)


def cost(way: Callable[[Order], object], orders: list[Order]) -> dict[str, float]:
    """Bytes that this process sends and receives, and seconds, for one order: the mean over several."""
    dist.barrier()
    time.sleep(0.2)  # until all is acknowledged
    sent, received = carried()
    start = time.perf_counter()
    for order in orders:
        way(order)
    seconds = time.perf_counter() - start
    time.sleep(0.2)
    after = carried()
    dist.barrier()
    total = {"received": after[1] - received, "sent": after[0] - sent, "seconds": seconds}
    return {name: value / len(orders) for name, value in total.items()}


def carried() -> tuple[int, int]:
    """Bytes that this process's TCP connections have sent (and had acknowledged) and received so far."""
    sent = received = 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            is_socket = str(fd.readlink()).startswith("socket:")
            one = socket.socket(fileno=os.dup(int(fd.name))) if is_socket else None
        except OSError:
            continue
        if one is None:
            continue
        with one:
            if one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM:
                out, back = struct.unpack_from("=QQ", one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 120)
                sent, received = sent + out, received + back
    return sent, received


if __name__ == "__main__":
    main()
