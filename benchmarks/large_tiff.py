"""What memory it takes to train on one TIFF of 30,000 x 30,000 px, in tiles, beyond what the same tiles as files take.

Writes such a file (tiled, deflate), and a folder of images as large as its tiles; a short run on each, in a process of
its own; the most memory that each held.

    python benchmarks/large_tiff.py [--json] [--side 30000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from measure import show, versions

TILE = 512
SMALL = "--encoder.backbone resnet10w16 --encoder.stem small --image-size 64 --batch 16 --encoder.norm-group 16"
SMALL += " --dictionary.size 32 --epochs None --steps 4 --machine.precision fp32 --machine.workers 0"


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--side", type=int, default=30_000)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, across = Path(folder), -(-a.side // TILE)
        (root / "large").mkdir()
        (root / "files").mkdir()
        tifffile.imwrite(
            root / "large" / "one.tif",
            _tiles(across**2),
            shape=(a.side, a.side),
            dtype=np.uint8,
            tile=(TILE, TILE),
            compression="deflate",
            photometric="minisblack",
            metadata=None,
        )
        for i, tile in enumerate(_tiles(64)):
            tifffile.imwrite(root / "files" / f"{i:02}.tif", tile, photometric="minisblack", compression="deflate")
        usual, _ = _run(root, "files")
        most, seconds = _run(root, "large", "--tiles", str(TILE))
    result: dict[str, object] = dict(versions())
    result |= {
        f"training on one TIFF of {a.side:,} px a side in tiles, MiB beyond files of that size": round(most - usual),
        "MiB of the run on files": round(usual),
        "seconds of the run in tiles, looking for empty ones included": round(seconds),
    }
    print(json.dumps(result)) if a.json else show(result)


def _tiles(number: int) -> Iterator[np.ndarray]:
    """So many tiles with something on each of them."""
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 255, (32, 32)), np.ones((16, 16))).astype(np.uint8)
    for i in range(number):
        yield np.roll(smooth, 16 * i, axis=i % 2)


def _run(root: Path, data: str, *more: str) -> tuple[float, float]:
    """MiB that a short run held at most, and its seconds."""
    command = [
        sys.executable,
        "-m",
        "moco",
        "pretrain",
        "v2",
        "--data",
        str(root / data),
        "--out",
        str(root / "run" / data),
    ]
    start = time.perf_counter()
    process = subprocess.Popen([*command, *SMALL.split(), *more], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the run on {data} ended with {status}")
    return used.ru_maxrss / 1024, time.perf_counter() - start


if __name__ == "__main__":
    main()
