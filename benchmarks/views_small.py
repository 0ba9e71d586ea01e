"""Two 32-px views of small images on one core: ours from memory against lightly's loader and against PIL's.

Ours starts from uint8 in memory, where a run keeps small images, and ends with normalised batches. lightly's
MoCoV2Transform and the official pipeline open a file for each image and work on PIL images, as their loaders do. The
views are those of each project's MoCo v2 at 32 px, blur included; `ours_cifar` has none, as the CIFAR recipe.
All are taken in turns; the best turn of each counts.

    python benchmarks/views_small.py --data cifar10.zip        # a folder or zip of 32-px images
    python benchmarks/views_small.py --data cifar10.zip --json
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from measure import best_of, show, versions
from official import official_view
from PIL import Image

from moco.apply import apply_plain
from moco.data.memory import load_memory
from moco.data.open import open_source
from moco.data.part import Part
from moco.data.source import Source
from moco.ops.kernels import kernels
from moco.recipe import Recipe, cifar, v2
from moco.two_views import Views, draw


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder or zip of small images; the bar is for 32 px")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--size", type=int, default=32)
    a = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(open_source(a.data), a.images, a.size, a.turns)
    print(json.dumps(result)) if a.json else show(result)


def measure(source: Source, images: int, size: int, turns: int) -> dict[str, object]:
    """Images a second of one core, each way."""
    n = min(images, len(source))
    raws = [source.raw(i) for i in range(n)]
    index = np.arange(n)
    memory, _ = load_memory(Part(source, index, [""] * n, source.description), 1)
    assert memory is not None, "these images are not small"

    def ours(recipe: Recipe) -> Callable[[], object]:
        views = Views(replace(recipe, image_size=size))
        return lambda: views(*memory.batch(index), index, 0, torch.channels_last)

    def plain() -> None:
        pixels, sizes = memory.batch(index)
        for number in (0, 1):
            draws = draw(v2().query_view, *sizes.T, seed=0, epoch=0, index=index, number=number)
            out = torch.empty(n, 3, size, size).contiguous(memory_format=torch.channels_last)
            apply_plain(v2().query_view, draws, pixels, out, v2().normalize)

    def peer(transform: Callable[[Image.Image], object]) -> Callable[[], None]:
        def work() -> None:
            for raw in raws:
                transform(Image.open(io.BytesIO(raw)).convert("RGB"))

        return work

    view = official_view(size)
    work: dict[str, Callable[[], object]] = {
        "ours": ours(v2()),
        "ours_cifar": ours(cifar()),
        "ours_without_kernels": plain,
        "official": peer(lambda image: (view(image), view(image))),
    }
    if (lightly := lightly_transform(size)) is not None:
        work["lightly"] = peer(lightly)
    rate = {name: n / seconds for name, seconds in best_of(work, turns).items()}
    return {
        "benchmark": "views_small",
        "ratio": round(rate["ours"] / rate["lightly"], 1) if "lightly" in rate else None,
        "ratio_to_official": round(rate["ours"] / rate["official"], 1),
        "ratio_to_own_tensor_functions": round(rate["ours"] / rate["ours_without_kernels"], 2),
        **{f"{name}_images_per_second": round(value) for name, value in rate.items()},
        "kernels": kernels() is not None,
        "size": size,
        "images": n,
        **versions(),
    }


def lightly_transform(size: int) -> Callable[[Image.Image], object] | None:
    """lightly's own two views of MoCo v2, where it is installed."""
    try:
        from lightly.transforms.moco_transform import MoCoV2Transform
    except ImportError:
        return None
    return MoCoV2Transform(input_size=size)


if __name__ == "__main__":
    main()
