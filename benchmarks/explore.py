"""Time until `moco explore` shows a map that is made, and its memory, on made files.

    python benchmarks/explore.py                     100,000 files, 512 features each
    python benchmarks/explore.py --images 2000       a smaller try
    python benchmarks/explore.py --map               the map itself is made as well, by UMAP

Files are 32 px JPEGs in 100 folders. The command is a process of its own: the clock runs from its start until its page
is there, and, where Chromium and playwright are installed, from then until the points are drawn and until the table
below them is there. Its memory is the peak that the system counted (VmHWM), after 2,000 small pictures.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from moco.commands.explore import Wanted, explore
from moco.explore.columns import NEAREST, Columns
from moco.explore.kept import About, Kept
from moco.explore.table import write_table
from moco.search.features import FeatureSet, read_features, write_features

MOCO = [sys.executable, "-m", "moco"]
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]


def make(folder: Path, images: int, width: int) -> Path:
    """The files and their features."""
    rng = np.random.default_rng(0)
    names, kind = [], np.arange(images) % 100
    for i in range(images):
        path = folder / "images" / f"folder {kind[i]:02}" / f"{i:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = np.full((32, 32, 3), (i * 7 % 256, i * 13 % 256, i * 29 % 256), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(shade).save(file, "JPEG")
        path.write_bytes(file.getvalue())
        names.append(str(path.relative_to(folder / "images")))
    order = np.argsort(names)
    names, labels = [names[i] for i in order], [f"folder {kind[i]:02}" for i in order]
    centres = rng.normal(size=(100, width)).astype(np.float32)
    vectors = centres[kind[order]] + rng.normal(size=(images, width)).astype(np.float32)
    found = FeatureSet(vectors, names, labels, np.arange(images), str(folder / "images"), "")
    features = folder / "f.npz"
    write_features(features, found)
    return features


def drawn(features: Path) -> None:
    """A map with neighbours and places that are drawn: how long a map takes to open does not depend on them."""
    rng, found = np.random.default_rng(1), read_features(features)
    n = len(found.paths)
    places = rng.integers(0, n, (n, NEAREST))
    cosines = -np.sort(-rng.random((n, NEAREST)).astype(np.float32), axis=1)
    known = Columns(places, cosines, rng.integers(1, 13, n), np.where(rng.random(n) < 0.02, rng.integers(1, 99, n), 0))
    kept = Kept(features.with_name(features.name + ".explore"))
    kept.open()
    write_table(kept.table, found.paths, found.labels, known, rng.normal(size=(n, 2)).astype(np.float32), None)
    kept.keep_unit(found.unit())
    stat, wanted = features.stat(), Wanted()
    kept.finish(
        About(
            encoder=str(features),
            embedder="",
            data=found.data,
            stamp=f"{stat.st_size}-{stat.st_mtime_ns}",
            fingerprint="",
            seed=wanted.seed,
            threshold=wanted.threshold,
            clusters=wanted.clusters,
            losses=False,
            images=n,
            width=found.features.shape[1],
            labelled=True,
        )
    )


def started(features: Path) -> tuple[subprocess.Popen[str], str, float]:
    """The server, its address, and the seconds until its page could be fetched."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [*MOCO, "explore", str(features), "--no-browser", "--port", "5700"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = ""
    while not (found := re.search(r"http://\S+", line)):
        line = process.stdout.readline()
        assert line, "the server ended"
    for name in ("", "points.bin"):
        urllib.request.urlopen(found[0] + name).read()
    return process, found[0], time.perf_counter() - start


def in_browser(address: str) -> dict[str, float]:
    """Seconds until the points are drawn, and until the table is there."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    if chromium is None:
        return {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.wait_for_selector("#legend li")
        drawn = time.perf_counter() - start
        page.wait_for_selector("#charts table", timeout=120_000)
        table = time.perf_counter() - start
        browser.close()
    return {"points drawn": round(drawn, 2), "table there": round(table, 2)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument(
        "--map", action="store_true", help="make the map itself too (minutes), and tell how long it takes"
    )
    parser.add_argument("--keep", type=Path, help="a folder for the files, used again if they are there")
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp())
    features = folder / "f.npz"
    if not features.exists():
        features = make(folder, asked.images, asked.width)
    told: dict[str, float] = {"images": asked.images, "width": asked.width}
    if asked.map:
        start = time.perf_counter()
        explore(features, again=True)
        told["map made, s"] = round(time.perf_counter() - start, 1)
    elif not (folder / "f.npz.explore" / "about.json").exists():
        drawn(features)
    process, address, ready = started(features)
    told["page served, s after the start of the command"] = round(ready, 2)
    told |= in_browser(address)
    for row in range(0, asked.images, max(1, asked.images // 2000)):
        urllib.request.urlopen(f"{address}thumb/{row}.jpg").read()
    peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    assert peak is not None
    told["peak memory, MiB"] = int(peak[1]) // 1024
    process.terminate()
    process.wait()
    print(json.dumps(told, indent=1))
    if asked.keep is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
