"""Run by torchrun in tests/faults/test_shards.py: what the steps of a URL contain, in FOLDER/steps.json.

Once all processes have opened it and fetched the first shard, a file FOLDER/here appears, and all wait for FOLDER/go:
time for an outage.
"""

import json
import sys
import time
from hashlib import sha256
from pathlib import Path

from served_shards import Whole

from moco import distributed
from moco.data.loader import Plan, WorkerLoader
from moco.data.open import open_source
from moco.data.shard_store import Store
from moco.recipe import override, v2

RECIPE = override(v2(), {"batch": 8, "epochs": 2})


def contents(source, workers):
    """Images and pixels of each step, as digests; each process gives its share."""
    plan = Plan.of(RECIPE, source, distributed.number(), distributed.count())
    batches = list(WorkerLoader(source, Whole(), workers).batches(plan, 0))
    assert not any(batch.skipped for batch in batches)
    own = [[(batch.index.tobytes(), batch.pixels.numpy().tobytes()) for batch in batches]]
    steps = zip(*distributed.joined(own), strict=True)
    return [[sha256(b"".join(part)).hexdigest() for part in zip(*shares, strict=True)] for shares in steps]


def main(url, folder):
    with distributed.processes("cpu", 120):
        source = open_source(url, Store(seconds=60))
        source.raw(int(Plan.of(RECIPE, source).index(0)[0]))
        distributed.joined([url])  # all are here
        if distributed.main_process():
            (folder / "here").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
        found = contents(source, workers=1)
        if distributed.main_process():
            (folder / "steps.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
