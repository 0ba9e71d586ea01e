"""Images of other than three channels of 8 bits beside photographs, on one core: views, a step, and reading TIFF.

Views of N images from memory and from crops of workers: RGB of 8 bits as photographs are made (compiled for just that),
one band, four and twelve, in 8 and 16 bits, with the same set of views. A step of ResNet-18 on one channel beside the
same images as RGB. Reading TIFF files beside the shortest loop that tifffile itself allows. In turns; the best turn
counts.

    python benchmarks/bands.py [--json] [--images 64] [--side 96] [--gray FOLDER]
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
import torch
from measure import best_of, show, versions

from moco.data.decide import Asked, decide
from moco.data.loader import MemoryLoader, Plan
from moco.data.memory import load_memory
from moco.data.native import open_native
from moco.data.open import open_source
from moco.data.opened import Opened, open_array
from moco.data.seen import seen
from moco.data.source import file_bytes
from moco.data.survey import survey
from moco.device import keep_freed_memory, place
from moco.machine import Machine
from moco.recipe import VIEWS, Normalize, Pixels, Recipe, v2
from moco.training import build_training, train_step
from moco.two_views import Views

KINDS = {"rgb": None, "1 x uint8": 1, "4 x uint8": 4, "4 x uint16": 4, "12 x uint16": 12}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--side", type=int, default=96, help="of the images and of the views")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--gray", help="a folder of gray images, to train on in one channel and in three")
    a = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    result = versions() | views(a.images, a.side, a.turns) | reading(a.turns)
    if a.gray:
        result |= steps(a.gray, a.turns)
    print(json.dumps(result)) if a.json else show(result)


def views(n: int, side: int, turns: int) -> dict[str, object]:
    """Time of each kind over that of RGB, for whole images from memory and for crops that workers cut."""
    random, work = np.random.default_rng(0), dict[str, Callable[[], object]]()
    index, sizes = np.arange(n), np.full((n, 2), side)
    for name, channels in KINDS.items():
        recipe = _recipe(name, channels, side)
        made = Views(recipe)
        kind = "uint8" if channels is None else name.split(" x ")[1]
        pixels = torch.from_numpy(random.integers(0, 255, (n, channels or 3, side, side)).astype(kind))
        images = [open_array(one.permute(1, 2, 0).contiguous().numpy()) for one in pixels]
        crops = torch.empty(n, 2, made.channels, side, side, dtype=made.dtype)

        def cut_and_finish(made: Views = made, images: list[Opened] = images, crops: torch.Tensor = crops) -> object:
            where = made.geometry(sizes, index, 0)
            for row, image in enumerate(images):
                made.cut_into(crops[row], image, where, row)
            return made.finish(crops, index, 0, torch.channels_last)

        work[f"memory, {name}"] = lambda m=made, p=pixels: m(p, sizes, index, 0, torch.channels_last)
        work[f"workers, {name}"] = cut_and_finish
    best = best_of(work, turns)
    return {
        f"views from {name}, times the RGB of 8 bits": round(seconds / best[f"{name.split(',')[0]}, rgb"], 2)
        for name, seconds in best.items()
        if not name.endswith("rgb")
    }


def _recipe(name: str, channels: int | None, side: int) -> Recipe:
    """The views of photographs without what needs colour, for all alike."""
    recipe = replace(v2(), image_size=side, query_view=replace(VIEWS["photos"], gray=0.0))
    if channels is None:
        return recipe
    kind = name.split(" x ")[1]
    pixels = Pixels(
        bands=tuple(range(channels)),
        of=channels,
        kind=kind,  # type: ignore[arg-type]
        black=(0.0,) * channels,
        white=(255.0,) * channels,
    )
    return replace(recipe, pixels=pixels, normalize=Normalize(mean=(0.5,) * channels, std=(0.2,) * channels))


def reading(turns: int) -> dict[str, object]:
    """Our reading of TIFF files, as a source does it, over tifffile's own loop; and over that, decompression alone."""
    values = np.random.default_rng(0).integers(0, 3000, (12, 256, 256)).astype(np.uint16)
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, how in {"plain": {}, "tiles, zstd": {"tile": (128, 128), "compression": "zstd"}}.items():
            paths = [f"{folder}/{name}{i}.tif" for i in range(20)]
            for path in paths:
                tifffile.imwrite(path, values, photometric="minisblack", planarconfig="separate", **how)

            def theirs(paths: list[str] = paths) -> None:
                for path in paths:
                    tifffile.imread(path)

            def ours(paths: list[str] = paths) -> None:
                for path in paths:
                    open_native(file_bytes(path)).values()

            def floor(paths: list[str] = paths) -> None:
                raw = file_bytes(paths[0])
                with tifffile.TiffFile(io.BytesIO(raw)) as tiff:
                    offsets, counts = tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts
                parts = [raw[at : at + count] for at, count in zip(offsets, counts, strict=True)]
                for _ in paths:
                    for part in parts:
                        imagecodecs.zstd_decode(part)

            best = best_of({"theirs": theirs, "ours": ours} | ({"floor": floor} if how else {}), turns)
            found[f"TIFF of 12 bands ({name}), images/s over tifffile.imread"] = round(best["theirs"] / best["ours"], 2)
            if how:
                share = round(best["floor"] / best["ours"], 2)
                found[f"TIFF of 12 bands ({name}), share of the time that decompression alone takes"] = share
    return found


def steps(folder: str, turns: int) -> dict[str, object]:
    """Images a second of a training step on one channel over the same in three."""
    source = open_source(Path(folder))
    work: dict[str, Callable[[], object]] = {}
    for name, bands in (("one", "gray"), ("three", "rgb")):
        made = decide(source, survey(source), Asked(bands=bands))
        small = {"backbone": "resnet18", "stem": "imagenet", "norm_group": 16}
        recipe = made.into(replace(v2(), image_size=128, batch=32, epochs=1000))
        recipe = replace(
            recipe, encoder=replace(recipe.encoder, **small), dictionary=replace(recipe.dictionary, size=64)
        )
        memory, _ = load_memory(seen(source, recipe.pixels), 1)
        assert memory is not None, "these images are not small"
        training = build_training(recipe, len(source), place(Machine(precision="fp32", threads=1)))
        batches = MemoryLoader(memory).batches(Plan.of(recipe, source), 0)
        work[name] = lambda t=training, b=batches: train_step(t, next(b))
    best = best_of(work, turns)
    return {"a step on one channel, times the speed of RGB": round(best["three"] / best["one"], 2)}


if __name__ == "__main__":
    main()
