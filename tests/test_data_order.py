"""order: a permutation of any number of images, as a function of (seed, epoch, position)."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from moco.data.order import order


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 10, 16, 17, 1000, 1797, 65536, 65537])
def test_every_image_comes_exactly_once(n: int) -> None:
    for epoch in range(3):
        assert np.array_equal(np.sort(order(n, 0, epoch, np.arange(n))), np.arange(n))


def test_any_part_of_an_epoch_agrees_with_the_whole() -> None:
    whole = order(1797, 5, 2, np.arange(1797))
    assert np.array_equal(order(1797, 5, 2, np.arange(300, 400)), whole[300:400])
    assert np.array_equal(order(1797, 5, 2, np.arange(300, 396).reshape(12, 8)), whole[300:396].reshape(12, 8))
    assert order(1797, 5, 2, np.zeros(0, np.int64)).shape == (0,)


def test_the_order_is_the_same_on_every_machine_and_version() -> None:
    assert order(10, 0, 0, np.arange(10)).tolist() == FIRST_EPOCH_OF_TEN


FIRST_EPOCH_OF_TEN = [0, 5, 4, 2, 1, 3, 8, 7, 9, 6]


def test_epochs_and_seeds_differ() -> None:
    first = order(1000, 0, 0, np.arange(1000))
    for other in (order(1000, 0, 1, np.arange(1000)), order(1000, 1, 0, np.arange(1000))):
        assert (first == other).sum() < 10  # one on average


@pytest.mark.parametrize("n", [5, 10, 37])
def test_each_image_lands_at_each_position_equally_often(n: int) -> None:
    epochs = 1500
    counts = np.zeros((n, n))
    for epoch in range(epochs):
        counts[np.arange(n), order(n, 1, epoch, np.arange(n))] += 1
    expected = epochs / n
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = (n - 1) ** 2
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_each_order_of_three_images_is_equally_likely() -> None:
    epochs = 3000
    seen = [tuple(order(3, 2, epoch, np.arange(3)).tolist()) for epoch in range(epochs)]
    counts = np.array([seen.count(p) for p in permutations(range(3))])
    assert ((counts - epochs / 6) ** 2 / (epochs / 6)).sum() < 25  # 5 degrees of freedom


def test_neither_position_nor_neighbour_foretells_an_image() -> None:
    n = 20000
    for epoch in range(5):
        images = order(n, 0, epoch, np.arange(n))
        for first, second in (
            (np.arange(n), images),
            (images[:-1], images[1:]),
            (images, order(n, 0, epoch + 1, np.arange(n))),
        ):
            assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(n)


def test_ten_thousand_million_images_need_no_list() -> None:
    n = 10**10
    positions = np.concatenate([np.arange(50_000), n - 1 - np.arange(50_000)])
    images = order(n, 0, 0, positions)
    assert images.min() >= 0
    assert images.max() < n
    assert len(np.unique(images)) == len(positions)
    assert abs(images.mean() / n - 0.5) < 0.01
