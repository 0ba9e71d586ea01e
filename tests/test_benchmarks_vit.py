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


def test_the_time_to_a_knn_lies_on_the_line_between_two_looks(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from same_knn import Look, reached

    looks = [Look(0, 0.0, 0.2), Look(10, 5.0, 0.3), Look(20, 11.0, 0.25), Look(30, 15.0, 0.45)]
    assert reached(looks, 0.25) == 2.5
    assert reached(looks, 0.3) == 5.0
    assert reached(looks, 0.4) == 14.0
    assert reached(looks, 0.5) is None
    assert reached([Look(0, 0.0, 0.5), Look(9, 5.0, 0.4)], 0.45) == 0.0
