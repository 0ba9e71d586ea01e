"""A run that falls behind its time is told once, and again only when it falls further behind."""

from moco.auto.pace import Pace


class Heard:
    def __init__(self):
        self.rows, self.notes = [], []

    def row(self, row, step, steps, seconds_left):
        self.rows.append(step)

    def note(self, text):
        self.notes.append(text)


def pace(now):
    heard = Heard()
    return heard, Pace(heard, 0.0, 1000.0, clock=lambda: now[0])


def test_a_run_in_time_is_passed_on_and_nothing_is_said():
    now = [100.0]
    heard, show = pace(now)
    show.row({}, 10, 100, 950.0)
    assert (heard.rows, heard.notes) == ([10], [])


def test_a_slower_machine_is_told_with_the_new_end_and_not_at_every_row():
    now = [100.0]
    heard, show = pace(now)
    for step in (10, 11, 12):
        show.row({}, step, 100, 1400.0)
    (said,) = heard.notes
    assert "25 min in all instead of 17 min" in said
    now[0] = 200.0
    show.row({}, 20, 100, 2800.0)
    assert len(heard.notes) == 2


def test_the_first_rows_say_nothing_about_the_rate():
    heard, show = pace([5.0])
    show.row({}, 1, 100, 9000.0)
    assert heard.notes == []
