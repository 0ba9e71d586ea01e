"""What is known of each image from the features of all."""

import numpy as np

from moco.explore.columns import NEAREST, columns, near_duplicates


def unit(n=60, d=16, seed=0):
    made = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_distances_are_to_the_nearest_and_over_the_ten_nearest():
    features = unit()
    found = columns(features, threshold=0.99, groups=3, seed=0)
    cosines = features @ features.T
    np.fill_diagonal(cosines, -2)
    sorted_ = -np.sort(-cosines, axis=1)
    assert found.places.shape == (60, NEAREST)
    np.testing.assert_allclose(found.distance, 1 - sorted_[:, 0], atol=1e-5)
    np.testing.assert_allclose(found.outlier, 1 - sorted_[:, :10].mean(axis=1), atol=1e-5)
    assert set(found.cluster) == {1, 2, 3}


def test_chains_of_near_duplicates_are_one_group_and_the_largest_is_the_first():
    features = unit()
    features[3] = features[40]
    features[[10, 11]] = features[12]
    found = columns(features, threshold=0.999, groups=2, seed=0)
    assert np.flatnonzero(found.copies == 1).tolist() == [10, 11, 12]
    assert np.flatnonzero(found.copies == 2).tolist() == [3, 40]
    assert (found.copies > 0).sum() == 5


def test_places_that_an_approximate_search_left_empty_link_nothing():
    places, cosines = np.array([[1, -1], [0, -1], [-1, -1]]), np.ones((3, 2), dtype=np.float32)
    assert near_duplicates(places, cosines, 0.9).tolist() == [1, 1, 0]
