"""The clock: a pace of steps, without what was no training."""

import pytest

from moco.run import clock
from moco.run.clock import Clock, Pace


@pytest.fixture
def now(monkeypatch):
    """A time that goes on only when told."""
    time = [100.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: time[0])
    return time


def test_a_pace_in_the_words_of_a_row():
    pace = Pace(steps=10, seconds=4.0, waited=1.0)
    assert pace.per_second(32) == 80
    assert pace.wait == 0.25
    assert pace.seconds_for(25) == 10


def test_a_pace_of_no_steps_in_no_time_is_no_error():
    none = Pace(0, 0.0, 0.0)
    assert (none.per_second(32), none.wait, none.seconds_for(5)) == (0, 0, 0)


def test_waiting_for_batches_is_counted_and_work_on_them_is_not(now):
    def slow():
        for batch in "abc":
            now[0] += 2
            yield batch

    counted = Clock(7)
    seen = []
    for step, batch in enumerate(counted.timed(slow()), 8):
        seen.append(batch)
        now[0] += 3
        last = counted.pace(step)
    assert seen == ["a", "b", "c"]
    assert last == Pace(steps=3, seconds=15, waited=6)


def test_a_restart_leaves_out_what_came_before(now):
    counted = Clock(0)
    now[0] += 50
    counted.restart(10)
    now[0] += 1
    assert counted.pace(12) == Pace(steps=2, seconds=1, waited=0)
