"""Groups: duplicates are connected, clusters hold the alike, outliers come first."""

import numpy as np
import pytest

from moco.search import groups as module
from moco.search.groups import clusters, duplicates, outliers


def on_circle(degrees):
    a = np.deg2rad(np.array(degrees, dtype=np.float64))
    return np.stack([np.cos(a), np.sin(a)], axis=1).astype(np.float32)


@pytest.mark.parametrize("chunk", [1 << 25, 8])
def test_duplicates_are_linked_directly_or_through_others(chunk, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    unit = on_circle([0, 90, 4, 180, 8, 91])  # 0-4 and 4-8 are near, 0-8 is not
    found = duplicates(unit, np.cos(np.deg2rad(5)))
    assert [sorted(g.members.tolist()) for g in found] == [[0, 2, 4], [1, 5]]
    assert found[0].members[0] == 2, "the one in the middle is the most typical"
    assert duplicates(unit, 0.99999) == []


def test_clusters_hold_every_image_once_and_the_alike_together():
    unit = on_circle([0, 1, 2, 3, 120, 121, 122, 240, 241])
    found = clusters(unit, 3)
    assert [sorted(g.members.tolist()) for g in found] == [[0, 1, 2, 3], [4, 5, 6], [7, 8]]
    assert found[1].members[0] == 5
    assert len(clusters(unit, 50)) <= 9


def test_an_outlier_is_far_from_its_nearest():
    distance, order = outliers(on_circle([0, 1, 2, 90]), 2)
    assert order[0] == 3
    expected = 1 - (np.cos(np.deg2rad(88)) + np.cos(np.deg2rad(89))) / 2
    assert distance[3] == pytest.approx(expected, abs=1e-5)
