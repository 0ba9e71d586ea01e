"""BatchNorm over groups beside plain BatchNorm: forward and backward on the shapes of a ResNet-18 at 32 px.

The same batch, in channels_last; in turns, the best of each counts. `groups_in_kernels` is what a run on a CPU does
with the extra `fast`, `groups` without it, and `groups_at_once` is what a compiler gets. Below 1: faster than plain
BatchNorm over the whole batch.

    python benchmarks/norms.py --json
"""

from __future__ import annotations

import argparse
import json

import torch
from gpu_parts import norms
from measure import show, versions

from moco.device import keep_freed_memory


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--group", type=int, default=32)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    dtype = torch.bfloat16 if a.precision == "bf16" else torch.float32
    keep_freed_memory()  # as a run does
    found = norms(torch.device(a.device), a.batch, a.group, a.turns, dtype)
    result = {"benchmark": "norms", **found, "batch": a.batch, "group": a.group, "precision": a.precision, **versions()}
    print(json.dumps(result)) if a.json else show(result)


if __name__ == "__main__":
    main()
