"""The benchmark of transformers runs, small, and prints what it says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "vit.py"


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("step", {"moco_s", "timm_s", "timm_over_moco"}),
        ("masked", {"keep_1.0_s", "keep_0.5_s", "half_over_whole"}),
    ],
)
def test_it_measures_a_small_vit_in_seconds(what, names):
    pytest.importorskip("timm")
    shape = ["--backbone", "vit1w16p8s16h2", "--batch", "4", "--turns", "1", "--json"]
    done = subprocess.run([sys.executable, SCRIPT, what, *shape], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert names <= found.keys()
    assert all(found[name] > 0 for name in names)
