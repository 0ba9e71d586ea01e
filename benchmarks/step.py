"""Our step against the plain loop: by default ResNet-18 with the small stem, 32 px, batch 128, queue of 65536 keys.

The plain loop is the official step for one process, written as one would: fp32, NCHW, eager, ordinary BatchNorm, a
permutation as shuffle, the queue cloned, cross-entropy over the concatenated logits, one parameter after the other in
the momentum update. It is given finished views; ours makes its views inside the timed step. Each has a process of its
own, and they work in turns, so that what else the machine does hits both; the best turn of each counts.

`ceiling_of_the_ratio` is what the ratio would be if our step took no longer than its operations take in a large matrix
product of the same precision on this machine: no step can be faster there.

    python benchmarks/step.py           # a table
    python benchmarks/step.py --json    # one line: ratio, matrix_share, images_per_second, ...
    python benchmarks/step.py --profile # where the time of our step goes, on one thread
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable

import numpy as np
import torch
from measure import Apart, answer, matrix_rate, show, versions
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from moco.data.loader import Batch
from moco.device import Placement, find_device, place
from moco.fast import choose_fast
from moco.machine import Machine
from moco.recipe import cifar, override
from moco.training import build_training, train_step


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--queue", type=int, default=65536)
    parser.add_argument("--norm-group", type=int, default=32)
    parser.add_argument("--arch", default="resnet18", choices=["resnet18", "resnet50"])
    parser.add_argument("--size", type=int, default=32, help="pixels of a side; above 64 without the small stem")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--profile", action="store_true", help="shares of our step alone, on one thread")
    parser.add_argument(
        "--plain", action="store_true", help="only the plain loop, told by another process when to work"
    )
    a = parser.parse_args()

    if a.plain:
        device = find_device(a.device)
        plain_one = plain_step(a.arch, a.size, a.batch, a.queue, device)
        answer(lambda times: {"seconds": timed(plain_one, device, times)})
        return
    placement = place(Machine(device=a.device, threads=1 if a.profile else None))
    ours, flops, fast = our_step(a.arch, a.size, a.batch, a.queue, a.norm_group, placement)
    if a.profile:
        result: dict[str, object] = {"benchmark": "step_profile", "step_gflop": round(flops / 1e9, 1), **shares(ours)}
        result |= {"arch": a.arch, "size": a.size, "batch": a.batch, "placement": placement.reason, **versions()}
        print(json.dumps(result)) if a.json else show(result)
        return
    plain = Apart("--plain")
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    matrix: list[float] = []
    dtype = torch.bfloat16 if placement.bf16 else torch.float32  # a processor without bf16 is measured in fp32
    for _ in range(a.turns):
        matrix.append(matrix_rate(placement.device, dtype))
        seconds["ours"].append(timed(ours, placement.device, 3))
        seconds["plain"].append(plain.ask(1)["seconds"])
    plain.end()
    best = {name: min(values) for name, values in seconds.items()}
    rate = max(matrix)
    result = {
        "benchmark": "step",
        "ratio": round(best["plain"] / best["ours"], 2),
        "ceiling_of_the_ratio": round(best["plain"] * rate / flops, 2),
        "matrix_share": round(flops / best["ours"] / rate, 3),
        "images_per_second": round(a.batch / best["ours"], 1),
        "plain_images_per_second": round(a.batch / best["plain"], 1),
        "step_gflop": round(flops / 1e9, 1),
        "matrix_gflops": round(rate / 1e9, 1),
        "matrix_dtype": str(dtype).removeprefix("torch."),
        "matrix_gflops_fp32": round(matrix_rate(placement.device, torch.float32) / 1e9, 1),
        "turns_seconds": {name: [round(v, 3) for v in values] for name, values in seconds.items()},
        "placement": placement.reason,
        "fast": fast,
        "arch": a.arch,
        "size": a.size,
        **versions(),
        "batch": a.batch,
        "queue": a.queue,
    }
    print(json.dumps(result)) if a.json else show(result)


def our_step(
    arch: str, size: int, batch: int, queue: int, group: int, placement: Placement
) -> tuple[Callable[[], object], float, str]:
    """Our training step on random uint8 images, views included, the operations of its products, and its fast forms."""
    changes = {
        "batch": batch,
        "dictionary.size": queue,
        "encoder.norm_group": group,
        "encoder.backbone": arch,
        "encoder.stem": "small" if size <= 64 else "imagenet",
        "image_size": size,
    }
    training = build_training(override(cifar(), changes), images=1 << 20, placement=placement)
    pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    pixels = pixels.pin_memory() if placement.device.type == "cuda" else pixels
    images = Batch(pixels, np.full((batch, 2), size), np.arange(batch), 0, {})

    def step() -> object:
        return train_step(training, images)

    with FlopCounterMode(display=False) as counter:
        step()  # before anything is compiled: compiled products are not counted
    _, fast = choose_fast(training, "auto", None, 1 << 20, lambda text: None)
    return step, float(counter.get_total_flops()), fast


def plain_step(arch: str, size: int, batch: int, queue_size: int, device: torch.device) -> Callable[[], object]:
    """The official step for one process, on finished fp32 views."""

    def encoder() -> nn.Module:
        net = getattr(models, arch)(num_classes=128)
        if size <= 64:
            net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
            net.maxpool = nn.Identity()
        return net

    encoder_q = encoder().to(device)
    encoder_k = copy.deepcopy(encoder_q)
    for p in encoder_k.parameters():
        p.requires_grad = False
    queue = F.normalize(torch.randn(128, queue_size, device=device), dim=0)
    optimizer = torch.optim.SGD(encoder_q.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4, foreach=False)
    x_q, x_k = torch.randn(2, batch, 3, size, size, device=device)
    pointer = [0]

    def step() -> Tensor:
        q = F.normalize(encoder_q(x_q), dim=1)
        with torch.no_grad():
            for p_q, p_k in zip(encoder_q.parameters(), encoder_k.parameters(), strict=True):
                p_k.data = p_k.data * 0.99 + p_q.data * 0.01
            order = torch.randperm(batch, device=device)
            k = F.normalize(encoder_k(x_k[order]), dim=1)[torch.argsort(order)]
        positive = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
        negative = torch.einsum("nc,ck->nk", [q, queue.clone().detach()])
        logits = torch.cat([positive, negative], dim=1) / 0.1
        loss = F.cross_entropy(logits, torch.zeros(batch, dtype=torch.long, device=device))
        queue[:, pointer[0] : pointer[0] + batch] = k.T
        pointer[0] = (pointer[0] + batch) % queue_size
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


KINDS = {
    "convolution": ("convolution",),
    "batch_norm": ("batch_norm", "_Kernels", "_Groups"),
    "relu": ("threshold", "clamp_min", "relu"),
    "loss_and_head": ("mm", "addmm", "logsumexp", "exp", "_Streamed"),
    "additions_and_copies": ("add", "copy_", "mul", "sub"),
}
"""Share: words of the operators that it counts; an operator counts once, where it is found first."""


def shares(step: Callable[[], object]) -> dict[str, object]:
    """Seconds of a step, and what share of the time that operators take themselves goes to each kind."""
    step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    took = {event.key: event.self_cpu_time_total for event in found.key_averages()}
    total = sum(took.values())
    by_kind = dict.fromkeys([*KINDS, "other"], 0.0)
    for name, time_taken in took.items():
        kind = next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other")
        by_kind[kind] += time_taken
    parts = {f"{kind}_share": round(value / total, 3) for kind, value in by_kind.items()}
    return {"seconds": round(total / 1e6, 3), "convolution_seconds": round(by_kind["convolution"] / 1e6, 3), **parts}


def timed(work: Callable[[], object], device: torch.device, times: int) -> float:
    """Seconds of one call, after one to warm up."""
    work()
    synchronise(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    synchronise(device)
    return (time.perf_counter() - start) / times


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
