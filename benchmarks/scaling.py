"""How the cost of a step grows with batch, dictionary and image size, and that of starting with the number of files.

Each curve beside its floor: the operations of a step at the machine's own rate of matrix products, the bytes that are
kept (both encoders, gradients, velocity, dictionary) at its own rate of copies, a bare walk over the same folders. Each
point is measured in a process of its own. The files are hard links to one photo, made below --folder and taken away.

    python benchmarks/scaling.py [--plot scaling.png]
    python benchmarks/scaling.py --json --files 1000 10000 100000 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measure import versions
from PIL import Image

BATCH, KEYS, SIZE = 32, 4096, 32
BATCHES, DICTIONARIES, SIZES = (16, 32, 64, 128), (4096, 16384, 65536, 262144), (16, 32, 64, 96)
IN_A_FOLDER, LINKS = 1000, 50_000
"""Files of a folder, and how many names one file may have (ext4 allows 65,000)."""
Point = dict[str, Any]


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--plot", help="a file to draw the curves to; needs matplotlib")
    parser.add_argument("--from-json", help="draw a result that was kept, and measure nothing")
    parser.add_argument("--files", type=int, nargs="*", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--no-steps", action="store_true", help="files alone")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the files are made for a while")
    a = parser.parse_args()
    if a.from_json:
        result = json.loads(Path(a.from_json).read_text())
    else:
        result = {"benchmark": "scaling", "files": [with_files(n, a.folder) for n in a.files]}
        result |= {} if a.no_steps else steps()
        result |= versions()
    if a.plot:
        plot(result, a.plot)
    if a.json:
        print(json.dumps(result))
        return
    for name, points in result.items():
        for point in points if isinstance(points, list) else [points]:
            print(f"{name:10} {point}")


def steps() -> dict[str, list[Point]]:
    """A step along each of the three axes, the other two at their usual place."""
    along = {
        "batch": [(n, KEYS, SIZE) for n in BATCHES],
        "keys": [(BATCH, k, SIZE) for k in DICTIONARIES],
        "size": [(BATCH, KEYS, s) for s in SIZES],
    }
    different = {place for places in along.values() for place in places}
    known = {place: measured("step", *map(str, place)) for place in sorted(different)}
    return {name: [known[place] for place in places] for name, places in along.items()}


def with_files(n: int, below: str) -> Point:
    """A folder of n files, listed for the first time and opened again."""
    root = Path(tempfile.mkdtemp(dir=below))
    try:
        make_files(root / "photos", n)
        return measured("files", str(root / "photos"), cache=str(root / "cache"))
    finally:
        shutil.rmtree(root)


def make_files(root: Path, n: int) -> None:
    """n names, a thousand in a folder, of a few files that are the same photo."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels).resize((400, 300), Image.Resampling.BICUBIC)
    first = ""
    for i in range(n):
        folder = f"{root}/{i // (100 * IN_A_FOLDER):03}/{i // IN_A_FOLDER:06}"
        if i % IN_A_FOLDER == 0:
            os.makedirs(folder)  # noqa: PTH103
        name = f"{folder}/photo-{i:08}.jpg"
        if i % LINKS == 0:
            first = name
            photo.save(first)
            os.sync()
        else:
            os.link(first, name)
    settled = 1_600_000_000  # a folder that changed just now is not remembered
    for path, _, _ in os.walk(root):
        os.utime(path, (settled, settled))


def measured(*arguments: str, cache: str | None = None) -> Point:
    """One point, by `scaling_point.py`."""
    script = Path(__file__).with_name("scaling_point.py")
    environment = os.environ | ({"XDG_CACHE_HOME": cache} if cache else {})
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=True, env=environment
    )
    found: Point = json.loads(done.stdout.splitlines()[-1])
    return found


def plot(result: dict[str, Any], to: str) -> None:
    """Time above, memory below; measured as lines, floors dashed."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot, ticker

    axes = [name for name in ("batch", "keys", "size", "files") if result.get(name)]
    words = {"batch": "batch", "keys": "keys K", "size": "pixels of a side", "files": "files"}
    figure, panels = pyplot.subplots(2, len(axes), figsize=(3.6 * len(axes), 6), squeeze=False)
    step_time = {"seconds": "a step", "floor_operations_seconds": "operations", "floor_bytes_seconds": "bytes"}
    step_memory = {"peak_mib": "peak", "floor_kept_mib": "what is kept"}
    file_time = {"list_seconds": "first listing", "floor_list_seconds": "bare walk", "open_seconds": "opened again"}
    file_time |= {"floor_open_seconds": "bytes", "first_step_seconds": "first step"}
    file_memory = {"names_mib": "names in memory", "floor_names_mib": "their bytes"}
    for (time_panel, memory_panel), name in zip(panels.T, axes, strict=True):
        for panel, lines, unit in (
            (time_panel, file_time if name == "files" else step_time, "seconds"),
            (memory_panel, file_memory if name == "files" else step_memory, "MiB"),
        ):
            for key, label in lines.items():
                x, y = ([point[k] for point in result[name] if point[key] > 0] for k in (name, key))
                panel.plot(x, y, "--" if key.startswith("floor") else "o-", label=label, markersize=3)
            panel.set(xscale="log", yscale="log", xlabel=words[name], ylabel=unit)
            ticks = [point[name] for point in result[name]]
            panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks], fontsize=7)
            panel.xaxis.set_minor_locator(ticker.NullLocator())
            panel.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(to, dpi=100)


if __name__ == "__main__":
    main()
