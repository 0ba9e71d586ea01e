"""Successive halving: who goes on, and what it costs."""

from moco.halving import cost, rungs, survivors


def test_rungs_end_with_the_whole_run_and_short_runs_have_fewer():
    assert rungs(90) == [10, 30, 90]
    assert rungs(4) == [1, 2, 4]
    assert rungs(1) == [1]
    assert rungs(90, 2) == [30, 90]


def test_one_in_three_goes_on_and_never_nobody():
    assert [survivors(n) for n in (1, 2, 3, 4, 6, 9)] == [1, 1, 1, 2, 2, 3]


def test_what_is_trained_already_is_not_paid_for_again():
    assert cost(9, [10, 30, 90]) == 9 * 10 + 3 * 20 + 1 * 60
    assert cost(1, [90]) == 90
    assert cost(6, [1]) == 6
