"""Points near where features are near, the same for the same seed."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from moco.errors import MocoError
from moco.explore.columns import columns
from moco.explore.layout import lay_out


@pytest.mark.skipif(find_spec("umap") is None, reason="needs the extra 'explore'")
def test_alike_images_lie_together_and_a_seed_is_a_map():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(2, 16))
    label = np.arange(60) % 2
    made = (centres[label] + 0.3 * rng.normal(size=(60, 16))).astype(np.float32)
    unit = made / np.linalg.norm(made, axis=1, keepdims=True)
    known = columns(unit, threshold=0.99, groups=2, seed=0)
    points = lay_out(unit, known.places, known.cosines, 5)
    np.testing.assert_array_equal(points, lay_out(unit, known.places, known.cosines, 5))
    apart = np.linalg.norm(points[label == 0].mean(axis=0) - points[label == 1].mean(axis=0))
    within = np.linalg.norm(points[label == 0] - points[label == 0].mean(axis=0), axis=1).mean()
    assert apart > 2 * within


def test_few_images_lie_on_a_line():
    points = lay_out(np.eye(3, dtype=np.float32), np.zeros((3, 2), dtype=np.int64), np.zeros((3, 2), np.float32), 0)
    assert points.tolist() == [[0, 0], [1, 0], [2, 0]]


def test_without_umap_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MocoError, match=r"pip install 'momentum-contrast\[explore\]'"):
        lay_out(np.eye(6, dtype=np.float32), np.zeros((6, 5), dtype=np.int64), np.zeros((6, 5), np.float32), 0)
