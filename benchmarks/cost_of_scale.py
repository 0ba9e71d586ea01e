"""What a run on very many images costs: time, bytes, checkpoints, from rates given as flags; each is an assumption.

The rates, images a second and GPU, are by default

- 39: what the paper's own run comes to (v1, section 4.1: 1.25 million steps of 1,024 images, about 6 days on 64 GPUs)
- 168: the official code on ImageNet (its README: 200 epochs of 1,281,167 images in 53 h on 8 V100)
- 500 and 1,500: what faster GPUs might do; yours is `images_per_second` in log.jsonl of a short run on one GPU

    python benchmarks/cost_of_scale.py
    python benchmarks/cost_of_scale.py --rates 800 --gpus 128
"""

from __future__ import annotations

import argparse
import math

from shuffle_bytes import on_paper

from moco.data.shard_order import LANES, WINDOW

PAPER = 39.0
"""Already a rate of one of 64 GPUs: nothing is taken off."""


def main() -> None:
    """Compute, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[PAPER, 168, 500, 1500], help="images/s of one GPU")
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--gpus-per-node", type=int, default=8)
    parser.add_argument(
        "--efficiency",
        type=float,
        default=0.9,
        help="assumed share of the rate left at this many GPUs (of the paper's: all)",
    )
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--kilobytes-per-image", type=float, default=30.0, help="assumed; moco pack prints yours")
    parser.add_argument("--shard-images", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=1_250_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--size", type=int, default=224, help="pixels of a side of a view")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--parameters", type=float, default=23.8e6, help="ResNet-50 with a linear head")
    parser.add_argument("--checkpoint-mb", type=float, default=325.0, help="ls -l RUN/checkpoints/last.pt")
    parser.add_argument("--checkpoint-seconds", type=float, default=300.0)
    a = parser.parse_args()

    show("", [f"{rate:g} images/s/GPU" for rate in a.rates])
    for name, cells in by_rate(a).items():
        show(name, cells)
    print("\nwhatever the rate:")
    for name, cell in whatever_the_rate(a).items():
        show(name, [cell])


def by_rate(a: argparse.Namespace) -> dict[str, list[str]]:
    """What depends on how fast a GPU is."""
    nodes = math.ceil(a.gpus / a.gpus_per_node)
    rates = [rate * a.gpus * (1 if rate == PAPER else a.efficiency) for rate in a.rates]
    seconds = [a.steps * a.batch / rate for rate in rates]
    exchange = on_paper(a.gpus, a.batch // a.gpus, a.size, a.dim)
    ours, official = exchange["ours, cut by workers"], exchange["official"]
    others = gradient_bytes(a) + key_bytes(a)

    def mb_a_second(bytes_a_step: float) -> list[str]:
        return [f"{bytes_a_step * rate / a.batch / 1e6:,.0f} MB/s" for rate in rates]

    return {
        "all GPUs together": [f"{rate:,.0f} images/s" for rate in rates],
        "time": [f"{s / 86400:.1f} days" for s in seconds],
        "GPU hours": [f"{s / 3600 * a.gpus:,.0f}" for s in seconds],
        "fetched by a node": [f"{rate * a.kilobytes_per_image / 1e3 / nodes:,.0f} MB/s" for rate in rates],
        "a GPU receives: views": mb_a_second(ours),
        "   the official way": mb_a_second(official),
        "   gradients and keys": mb_a_second(others),
        "checkpoints written": [f"{s / a.checkpoint_seconds:,.0f}" for s in seconds],
    }


def whatever_the_rate(a: argparse.Namespace) -> dict[str, str]:
    """What does not."""
    nodes, shards = math.ceil(a.gpus / a.gpus_per_node), math.ceil(a.images / a.shard_images)
    shard_mb = a.shard_images * a.kilobytes_per_image / 1e3
    windows = min(LANES, math.ceil(LANES / nodes)) * 2 * (math.ceil(WINDOW / a.shard_images) + 1)
    exchange = on_paper(a.gpus, a.batch // a.gpus, a.size, a.dim)
    ours, official = exchange["ours, cut by workers"], exchange["official"]
    seen = a.steps * a.batch
    return {
        "images seen": f"{seen:,}, {seen / a.images:.2f} epochs",
        "the data set": f"{a.images * a.kilobytes_per_image / 1e9:,.1f} TB in {shards:,} shards of {shard_mb:,.0f} MB",
        "fetched in the run": f"{seen * a.kilobytes_per_image / 1e9:,.1f} TB",
        "a GPU receives a step": f"{ours / 1e6:.1f} MB of views, the official way {official / 1e6:,.0f} MB",
        "": f"{gradient_bytes(a) / 1e6:.0f} MB of gradients (ring), {key_bytes(a) / 1e6:.2f} MB of keys for the queue",
        "disk of a node": f"{windows * shard_mb / 1e3:,.1f} GB of shards (two windows of each of its lanes)",
        "memory of a process": f"{shards * (32 + 120) / 1e6:,.1f} MB for names (120 bytes) and sizes of the shards",
        "a checkpoint": f"{a.checkpoint_mb:,.0f} MB; two are kept, of the last {2 * a.checkpoint_seconds:,.0f} s",
        "lost to a failure": f"{a.checkpoint_seconds / 2:,.0f} s of work on average, and the start",
    }


def gradient_bytes(a: argparse.Namespace) -> float:
    """What a GPU receives of the gradients' mean, in a ring."""
    return 2 * (a.gpus - 1) / a.gpus * 4 * a.parameters


def key_bytes(a: argparse.Namespace) -> float:
    """What a GPU receives of the other GPUs' keys."""
    return 4 * a.dim * a.batch * (a.gpus - 1) / a.gpus


def show(name: str, cells: list[str]) -> None:
    """A line."""
    print(f"{name:24}{''.join(f'{cell:>20}' for cell in cells) if len(cells) > 1 else cells[0]}")


if __name__ == "__main__":
    main()
