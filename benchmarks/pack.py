"""Reading and decoding a packed copy against the original, in the drawn order of an epoch, in turns on one core.

python benchmarks/pack.py --original FOLDER --packed DIR [--images 2000] [--json]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from moco.data.decode import decode
from moco.data.open import open_source
from moco.data.order import order
from moco.data.source import Source, Unreadable


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", required=True)
    parser.add_argument("--packed", required=True)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    a = parser.parse_args()
    sources = {"original": open_source(a.original), "packed": open_source(a.packed)}
    best = dict.fromkeys(sources, 0.0)
    for turn in range(a.turns):
        for name, source in sources.items():
            best[name] = max(best[name], rate(source, a.images, turn))
    result = {"benchmark": "pack", "ratio": round(best["packed"] / best["original"], 2)}
    result |= {f"{name}_images_per_second": round(value, 1) for name, value in best.items()}
    print(json.dumps(result) if a.json else "\n".join(f"{name:32}{value}" for name, value in result.items()))


def rate(source: Source, images: int, turn: int) -> float:
    """Images read and decoded per second."""
    n = min(images, len(source))
    start = time.perf_counter()
    for i in order(len(source), 0, turn, np.arange(n)).tolist():
        try:
            decode(source.raw(i))
        except Unreadable:
            continue
    return n / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
