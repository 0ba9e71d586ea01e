"""95 % intervals against published tables."""

import pytest

from moco.protocols.interval import t_interval, wilson

NEWCOMBE = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}
"""Newcombe 1998, Statistics in Medicine 17:857, table I, method 3."""


@pytest.mark.parametrize(("hits", "n"), NEWCOMBE)
def test_the_interval_of_a_share_is_wilsons(hits, n):
    assert wilson(hits / n, n) == pytest.approx(NEWCOMBE[hits, n], abs=5e-5)


def test_it_mirrors_and_stays_in_0_to_1():
    low, high = wilson(1.0, 20)
    assert (low, high) == pytest.approx((1 - 0.1611, 1.0), abs=5e-5)
    assert high <= 1


def test_the_interval_of_a_mean_is_students():
    low, high = t_interval([1.0, 2.0, 3.0, 4.0])
    assert (low, high) == pytest.approx((2.5 - 3.182 * 1.29099 / 2, 2.5 + 3.182 * 1.29099 / 2), abs=1e-3)
    assert t_interval([1.0]) is None
