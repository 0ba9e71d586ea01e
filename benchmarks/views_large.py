"""Two 224-px views of photos on one core: ours against the official pipeline, and the floor under both: decoding.

Ours is the whole way: the header, one decoding, two crops in 8 bits (what a worker does), then colours, blur and
normalisation in batches (what the device does; here the same core). The official pipeline is torchvision's transforms
on PIL images, in the order of v2. All are taken in turns, so that what else the machine does hits all of them; the
best turn of each counts.

    python benchmarks/views_large.py --data photos/           # a table
    python benchmarks/views_large.py --data photos.zip --json # one line
"""

from __future__ import annotations

import argparse
import collections
import io
import json

import numpy as np
import torch
from measure import best_of, show, versions
from official import official_view
from PIL import Image

from moco.data.decode import decode
from moco.data.loader import Plan, WorkerLoader
from moco.data.open import open_source
from moco.data.source import Source
from moco.device import keep_freed_memory
from moco.recipe import v2
from moco.two_views import Views


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder or zip of photos; the bars are for 640 x 480 JPEG")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--turns", type=int, default=5)
    a = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(open_source(a.data), a.images, a.turns)
    print(json.dumps(result)) if a.json else show(result)


def measure(source: Source, images: int, turns: int) -> dict[str, object]:
    """Images a second of one core, each way."""
    n = min(images, len(source))
    batch = min(32, n)
    n -= n % batch
    keep_freed_memory()  # as a run does
    views, view, index = Views(v2()), official_view(224), np.arange(batch)
    raws = [source.raw(i) for i in range(n)]
    plan = Plan(n, batch, 1 << 20, 0)
    steps = iter(WorkerLoader(source, views, 0).batches(plan, 0))
    first = next(steps)

    def official() -> None:
        for raw in raws:
            image = Image.open(io.BytesIO(raw)).convert("RGB")
            view(image), view(image)

    def worker() -> None:
        for _ in range(n // batch):
            next(steps)

    def device() -> None:
        for _ in range(n // batch):
            views.finish(first.pixels, index, 0, torch.channels_last)

    seconds = best_of(
        {
            "official": official,
            "worker": worker,
            "device": device,
            "decode": lambda: collections.deque(map(decode, raws), maxlen=0),
        },
        turns,
    )
    rate = {name: n / value for name, value in seconds.items()}
    ours = seconds["worker"] + seconds["device"]
    return {
        "benchmark": "views_large",
        "ratio": round(seconds["official"] / ours, 2),
        "ratio_of_the_worker_part": round(seconds["official"] / seconds["worker"], 2),
        "images_per_second_per_core": round(n / ours, 1),
        "official_images_per_second": round(rate["official"], 1),
        "worker_images_per_second": round(rate["worker"], 1),
        "device_part_images_per_second": round(rate["device"], 1),
        "decoding_alone_images_per_second": round(rate["decode"], 1),
        "share_of_the_decoding_floor": round(seconds["decode"] / ours, 3),
        "worker_share_of_the_decoding_floor": round(seconds["decode"] / seconds["worker"], 3),
        "images": n,
        "first_size": list(decode(raws[0]).shape[:2]),
        **versions(),
    }


if __name__ == "__main__":
    main()
