"""Photographs in RGB, read and made into views by this checkout and by another one: is either slower?

Both are asked in turns, each in a process of its own on one core: batches from memory, and batches that are decoded and
cut as workers do it, then finished; the best turn counts. The other checkout is named by its folder:

    git worktree add /tmp/before COMMIT
    python benchmarks/before.py --checkout /tmp/before [--json] [--turns 9] [--images 256]
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Apart, answer, show, versions

BATCH = 64
SIZES = {"memory": (96, 96, 64), "workers": (400, 300, 160)}
"""Width and height of the images, and the side of their views."""


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", required=True, help="the folder of the other checkout")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--measured", help=argparse.SUPPRESS)  # the folder of images, in a process of its own
    a = parser.parse_args()
    if a.measured:
        torch.set_num_threads(1)
        answer(_Measured(Path(a.measured)))
        return
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), a.images)
        here = Path(__file__).resolve().parent.parent
        asked = {
            name: Apart("--measured", folder, environment={"PYTHONPATH": str(Path(path).resolve() / "src")})
            for name, path in (("this", here), ("other", a.checkout))
        }
        best = {(name, way): float("inf") for name in asked for way in SIZES}
        for turn in range(a.turns + 1):
            for name, one in asked.items():
                for way, seconds in one.ask(a.images // BATCH).items():
                    best[name, way] = min(best[name, way], seconds if turn else float("inf"))
        for one in asked.values():
            one.end()
    found = {
        f"RGB from {way}, images/s over those of the other checkout": round(best["other", way] / best["this", way], 3)
        for way in SIZES
    }
    found |= {f"RGB from {way}, images/s": round(a.images / best["this", way]) for way in SIZES}
    result = versions() | found
    print(json.dumps(result)) if a.json else show(result)


def _write(folder: Path, images: int) -> None:
    """JPEG photographs of both sizes, cut out of the two that scikit-learn has."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng, photographs = np.random.default_rng(0), load_sample_images().images
    for way, (width, height, _) in SIZES.items():
        (folder / way).mkdir()
        for i in range(images):
            whole = photographs[i % 2]
            top, left = rng.integers(whole.shape[0] - height), rng.integers(whole.shape[1] - width)
            file = io.BytesIO()
            Image.fromarray(whole[top : top + height, left : left + width]).save(file, "JPEG", quality=90)
            (folder / way / f"{i:04}.jpg").write_bytes(file.getvalue())


class _Measured:
    """Seconds that so many batches take this process, each way; made of what both checkouts have."""

    def __init__(self, folder: Path) -> None:
        from moco.data.loader import MemoryLoader, Plan, WorkerLoader
        from moco.data.memory import load_memory
        from moco.data.open import open_source
        from moco.device import keep_freed_memory
        from moco.recipe import v2

        keep_freed_memory()
        self.batches: dict[str, Any] = {}
        self.views: dict[str, Any] = {}
        for way, (_, _, side) in SIZES.items():
            source = open_source(folder / way)
            recipe = replace(v2(), image_size=side, batch=BATCH, epochs=1_000_000)
            views = _views()(recipe)
            memory, _ = load_memory(source, 1) if way == "memory" else (None, None)
            loader: Any = WorkerLoader(source, views, 0) if memory is None else MemoryLoader(memory)
            self.batches[way], self.views[way] = loader.batches(Plan.of(recipe, source), 0), views

    def __call__(self, number: int) -> dict[str, float]:
        found = {}
        for way, batches in self.batches.items():
            views, start = self.views[way], time.perf_counter()
            for b in islice(batches, number):
                if b.sizes is None:
                    views.finish(b.pixels, b.index, b.epoch, torch.channels_last)
                else:
                    views(b.pixels, b.sizes, b.index, b.epoch, torch.channels_last)
            found[way] = time.perf_counter() - start
        return found


def _views() -> Any:
    """The class of views, under the name of this checkout or of older ones."""
    try:
        from moco.two_views import Views
    except ImportError:
        from moco.views import Views  # type: ignore[attr-defined, no-redef]
    return Views


if __name__ == "__main__":
    main()
