"""A run that falls behind its time is told once, and again only when it falls further behind."""

from moco.auto.pace import Pace


class Heard:
    def __init__(self):
        self.rows, self.notes = [], []

    def row(self, row, step, steps, seconds_left):
        self.rows.append(step)

    def note(self, text):
        self.notes.append(text)


def told(times):
    """What is said of a run of 100 steps that was to take 1,000 seconds, of which these steps came at these times."""
    heard, now = Heard(), [0.0]
    show = Pace(heard, 0.0, 1000.0, clock=lambda: now[0])
    for step, time in times:
        now[0] = time
        show.row({}, step, 100, 12345.0)
    assert heard.rows == [step for step, _ in times]
    return heard.notes


def test_a_run_in_time_is_passed_on_and_nothing_is_said():
    assert told([(1, 100.0), (50, 540.0), (90, 900.0), (100, 990.0)]) == []


def test_a_slower_machine_is_told_with_the_new_end_and_not_at_every_row():
    (said,) = told([(1, 10.0), (20, 295.0), (21, 310.0), (22, 325.0)])
    assert "25 min in all instead of 17 min" in said
    assert len(told([(1, 10.0), (20, 295.0), (40, 1000.0)])) == 2


def test_one_slow_moment_does_not_make_a_run_late():
    assert told([(1, 0.0), (40, 390.0), (41, 440.0), (42, 450.0)]) == []


def test_the_first_rows_say_nothing_about_the_rate():
    assert told([(1, 0.0), (5, 500.0)]) == []
