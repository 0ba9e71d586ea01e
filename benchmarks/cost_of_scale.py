"""What a run on very many images costs: time, bytes, checkpoints, from rates given as flags; each is an assumption.

python benchmarks/cost_of_scale.py --images-per-second-per-gpu RATE
"""

from __future__ import annotations

import argparse
import math

from moco.data.shard_order import LANES, WINDOW


def main() -> None:
    """Compute, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images-per-second-per-gpu", type=float, required=True, help="measured on your GPU")
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--gpus-per-node", type=int, default=8)
    parser.add_argument(
        "--efficiency", type=float, default=0.9, help="assumed share of the rate left at this many GPUs"
    )
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--kilobytes-per-image", type=float, default=30.0, help="assumed; moco pack prints yours")
    parser.add_argument("--shard-images", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=1_250_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--checkpoint-mb", type=float, default=325.0, help="ls -l RUN/checkpoints/last.pt")
    parser.add_argument("--checkpoint-seconds", type=float, default=300.0)
    a = parser.parse_args()

    rate = a.images_per_second_per_gpu * a.gpus * a.efficiency
    seconds = a.steps * a.batch / rate
    nodes = math.ceil(a.gpus / a.gpus_per_node)
    shard_mb = a.shard_images * a.kilobytes_per_image / 1e3
    windows = min(LANES, math.ceil(LANES / nodes)) * 2 * (math.ceil(WINDOW / a.shard_images) + 1)
    shards = math.ceil(a.images / a.shard_images)
    for name, value in (
        ("images seen", f"{a.steps * a.batch:,}, {a.steps * a.batch / a.images:.2f} epochs"),
        ("all GPUs together", f"{rate:,.0f} images/s"),
        ("time", f"{seconds / 86400:.1f} days, {seconds / 3600 * a.gpus:,.0f} GPU hours"),
        (
            "the data set",
            f"{a.images * a.kilobytes_per_image / 1e9:,.1f} TB in {shards:,} shards of {shard_mb:,.0f} MB",
        ),
        ("fetched", f"{a.steps * a.batch * a.kilobytes_per_image / 1e9:,.1f} TB over the run"),
        ("network of a node", f"{rate * a.kilobytes_per_image / 1e3 / nodes:,.1f} MB/s"),
        ("disk of a node", f"{windows * shard_mb / 1e3:,.1f} GB of shards (two windows of each of its lanes)"),
        ("memory of a process", f"{shards * (32 + 120) / 1e6:,.1f} MB for names (120 bytes) and sizes of the shards"),
        ("checkpoints", f"{a.checkpoint_mb:,.0f} MB each, {seconds / a.checkpoint_seconds:,.0f} written, one kept"),
        ("lost to a failure", f"{a.checkpoint_seconds / 2:,.0f} s of work on average, and the start"),
    ):
        print(f"{name:22}{value}")


if __name__ == "__main__":
    main()
