"""A log read as it grows."""

import itertools
import json

import pytest

from moco.run.log import readable_rows
from moco.run.tail import WHOLE, Tail


def write(path, rows, mode="w"):
    with path.open(mode) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_only_what_is_new_is_read(tmp_path):
    path = tmp_path / "log.jsonl"
    write(path, [{"step": 1, "epoch": 0, "loss": 3.0}])
    tail = Tail(path)
    assert tail.read()
    assert not tail.read()
    write(path, [{"step": 2, "epoch": 0, "loss": 2.0, "knn": 0.5}], "a")
    assert tail.read()
    assert (tail.step, tail.rows, tail.last["knn"], tail.losses) == (2, 2, 0.5, [(1, 3.0), (2, 2.0)])


def test_a_line_that_is_being_written_is_taken_when_it_is_whole(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "epo')
    tail = Tail(path)
    tail.read()
    assert (tail.rows, tail.damaged) == (0, 0)
    with path.open("a") as file:
        file.write('ch": 0}\n')
    tail.read()
    assert (tail.rows, tail.damaged, tail.step) == (1, 0, 1)


def test_damaged_lines_are_skipped_and_counted(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n\x00\xff nonsense\n[1]\n{"step": "x"}\n\n{"step": 4}\n')
    tail = Tail(path)
    tail.read()
    assert (tail.rows, tail.damaged, tail.step) == (2, 3, 4)


@pytest.mark.parametrize("line", ["[" * 20_000, '{"step": true}', '{"step": -1}', '{"step": ' + "9" * 5000 + "}"])
def test_no_line_is_too_odd_to_be_skipped(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    tail = Tail(path)
    tail.read()
    assert (tail.rows, tail.damaged) == (2, 1)
    assert readable_rows(path) == ([{"step": 1}, {"step": 2}], 1)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1" + "0" * 400, '"x"', "null", "[1]"])
def test_what_is_no_finite_number_is_no_point(tmp_path, value):
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"step": 1, "loss": 2.0}}\n{{"step": 2, "loss": {value}}}\n')
    tail = Tail(path)
    tail.read()
    assert tail.losses == [(1, 2.0)]


def test_a_log_that_was_cut_back_is_read_anew(tmp_path):
    path = tmp_path / "log.jsonl"
    write(path, [{"step": n, "loss": 1.0} for n in range(1, 30)])
    tail = Tail(path)
    tail.read()
    write(path, [{"step": n, "loss": 1.0} for n in range(1, 11)])
    tail.read()
    assert (tail.step, len(tail.losses)) == (10, 10)


def test_of_a_long_log_little_is_read_and_the_end_is_known(tmp_path):
    path = tmp_path / "log.jsonl"
    write(path, [{"step": n, "epoch": 0, "loss": n / 1000, "health": "x" * 40} for n in range(20_000)])
    assert path.stat().st_size > 10 * WHOLE
    tail = Tail(path)
    tail.read()
    assert tail.step == 19_999
    assert tail.damaged == 0
    assert tail.rows < 2000
    steps = [step for step, _ in tail.losses]
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert max(b - a for a, b in itertools.pairwise(steps)) < 2000, "spread over all of it"
    write(path, [{"step": 20_000, "loss": 7.0}], "a")
    tail.read()
    assert (tail.step, tail.last["loss"]) == (20_000, 7.0)


def test_a_log_that_is_not_there_is_nothing(tmp_path):
    tail = Tail(tmp_path / "log.jsonl")
    assert not tail.read()
    assert tail.rows == 0
