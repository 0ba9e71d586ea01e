"""The record of a run: rows with their remarks, written and told."""

from contextlib import closing

import pytest

from moco.run.directory import RunDirectory
from moco.run.log import read_log
from moco.run.record import Record


class Rows:
    """Listens, and remembers."""

    def __init__(self):
        self.told = []

    def row(self, row, step, steps, seconds_left):
        self.told.append((row, step, steps, seconds_left))

    def note(self, text):
        raise AssertionError(text)


def nothing(rows):
    return {}


def test_a_remark_sees_the_rows_before_and_is_written_and_told(tmp_path):
    run, show = RunDirectory(tmp_path), Rows()
    with closing(Record(run, 0, 9, show, lambda rows: {"sum": sum(row["x"] for row in rows)})) as record:
        record.add({"step": 1, "x": 2}, 8.0)
        record.add({"step": 2, "x": 3})
    assert read_log(run.log) == [{"step": 1, "x": 2, "sum": 2}, {"step": 2, "x": 3, "sum": 5}]
    assert show.told == [({"step": 1, "x": 2, "sum": 2}, 1, 9, 8.0), ({"step": 2, "x": 3, "sum": 5}, 2, 9, None)]


@pytest.mark.parametrize(("saved", "left"), [(True, [1, 2]), (False, [])])
def test_rows_that_no_checkpoint_reached_are_dropped(tmp_path, saved, left):
    run = RunDirectory(tmp_path)
    with closing(Record(run, 0, 9, Rows(), nothing)) as record:
        for step in (1, 2, 3):
            record.add({"step": step})
    if saved:
        run.checkpoint.parent.mkdir()
        run.checkpoint.touch()
    Record(run, 2 if saved else 0, 9, Rows(), nothing).close()
    assert [row["step"] for row in read_log(run.log)] == left
