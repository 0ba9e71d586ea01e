"""Randomness as a function of its name: the same for the same name, uniform over names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from moco.ops.draw import counter, integers, permutation, stream, uniform

SURE = (1e-4, 1 - 1e-4)
"""Names are fixed, so a test passes always or never; the bounds only say how unlikely a sound generator is to fail."""


def test_a_name_always_gives_the_same_number_and_another_name_another():
    assert counter(1, 2, 3) == counter(1, 2, 3)
    assert (
        len({int(counter(*name)) for name in [(1, 2, 3), (3, 2, 1), (1, 2), (1, 2, 3, 0), (0, 1, 2, 3), (1, 2, 4)]})
        == 6
    )


def test_numbers_are_the_same_on_every_machine():
    """A run is resumed years later, elsewhere: these values must never change."""
    assert [int(counter(*name)) for name in ((0,), (1, 2, 3), (stream("shuffle"), 7))] == [
        16294208416658607535,
        15020427595393229491,
        17549152493073490143,
    ]
    assert permutation(8, 0, 1).tolist() == [3, 0, 1, 5, 2, 7, 4, 6]


def test_arrays_of_names_give_the_numbers_of_their_elements_in_any_order():
    together = counter(5, np.arange(10), 7)
    assert [int(x) for x in together] == [int(counter(5, i, 7)) for i in range(10)]
    assert (counter(5, np.arange(10)[::-1], 7) == together[::-1]).all()
    grid = counter(np.arange(3)[:, None], np.arange(4))
    assert grid.shape == (3, 4)
    assert grid[2, 1] == counter(2, 1)


def test_uniform_numbers_are_uniform_and_below_1():
    u = uniform(3, np.arange(20000))
    assert u.min() >= 0
    assert u.max() < 1
    assert SURE[0] < kstest(u, "uniform").pvalue < SURE[1]


@pytest.mark.parametrize("axis", [0, 1])
def test_neighbouring_names_are_uncorrelated(axis):
    u = uniform(np.arange(200)[:, None], np.arange(200))
    a, b = (u[:-1], u[1:]) if axis == 0 else (u[:, :-1], u[:, 1:])
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)


def test_integers_cover_their_range_evenly():
    drawn = integers(7, 1, np.arange(70000))
    assert SURE[0] < chisquare(np.bincount(drawn, minlength=7)).pvalue < SURE[1]
    assert set(drawn.tolist()) == set(range(7))


def test_integers_below_1_are_0():
    assert (integers(1, np.arange(100)) == 0).all()


def test_each_draw_may_have_its_own_bound():
    below = np.array([1, 10, 1000])
    assert (integers(below, 4, np.arange(3)) < below).all()


@pytest.mark.parametrize("n", [1, 2, 16, 1000])
def test_a_permutation_has_every_number_once(n):
    assert sorted(permutation(n, 9).tolist()) == list(range(n))


def test_all_permutations_of_four_are_equally_likely():
    seen = [tuple(permutation(4, 0, step)) for step in range(12000)]
    _, count = np.unique(np.array([sum(d * 4**i for i, d in enumerate(p)) for p in seen]), return_counts=True)
    assert len(count) == 24
    assert SURE[0] < chisquare(count).pvalue < SURE[1]


def test_words_name_different_streams():
    words = ("shuffle", "bank", "view", "crop", "crop top", "crop left", "geometry", "photometry", "order")
    assert len({stream(word) for word in words}) == len(words)
    assert all(0 <= stream(word) < 2**63 for word in words)


@pytest.mark.parametrize(("a", "b"), [("shuffle", "shufflf"), ("shuffle of keys", "shuffle of queries")])
def test_words_that_begin_alike_name_different_streams(a, b):
    assert stream(a) != stream(b)
