"""The log: one object a line, rows that a crash undid are dropped, damaged lines are named."""

import json
import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from moco.errors import MocoError
from moco.run.log import Log, read_log, readable_rows


def write(folder, *rows, step=-1):
    log = Log(folder, step)
    for row in rows:
        log.add(row)
    log.close()
    return log


def row(step, loss=1.0, **more):
    return {"step": step, "epoch": 1, "loss": loss, **more}


def test_what_was_added_is_read_again_in_order(tmp_path):
    write(tmp_path, row(1), row(2, knn=0.5))
    assert read_log(tmp_path / "log.jsonl") == [row(1), row(2, knn=0.5)]
    assert read_log(tmp_path / "none.jsonl") == []


def test_numbers_that_are_not_finite_become_null(tmp_path):
    write(tmp_path, row(1, math.nan), row(2, math.inf))
    assert [r["loss"] for r in read_log(tmp_path / "log.jsonl")] == [None, None]


def test_going_on_drops_rows_of_later_steps(tmp_path):
    write(tmp_path, *[row(n) for n in range(1, 6)])
    write(tmp_path, row(4, 9.0), step=3)
    assert [(r["step"], r["loss"]) for r in read_log(tmp_path / "log.jsonl")] == [
        (1, 1.0),
        (2, 1.0),
        (3, 1.0),
        (4, 9.0),
    ]


@pytest.mark.parametrize("end", ['{"step": 3, "ep', "", "\n", "\0\0\0"])
def test_a_last_line_cut_short_by_a_crash_is_left_out(tmp_path, end):
    write(tmp_path, row(1), row(2))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(end)
    assert [r["step"] for r in read_log(tmp_path / "log.jsonl")] == [1, 2]


@pytest.mark.parametrize("bad", ["garbage", "[1]", '{"epoch": 1}', "\ufeff{", '{"step": "1"}'])
def test_another_damaged_line_is_named_by_its_number_and_the_file_stays(tmp_path, bad):
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join([json.dumps(row(1)), bad, json.dumps(row(3))]) + "\n")
    before = path.read_bytes()
    for reader in (lambda: read_log(path), lambda: Log(tmp_path, 3)):
        with pytest.raises(MocoError, match=r"log.jsonl, line 2, is damaged .*delete that line"):
            reader()
    assert path.read_bytes() == before


def test_whoever_only_looks_gets_the_good_lines_and_how_many_are_damaged(tmp_path):
    path = tmp_path / "log.jsonl"
    assert readable_rows(path) == ([], 0)
    path.write_text("")
    assert readable_rows(path) == ([], 0)
    path.write_text("\n".join([json.dumps(row(1)), "garbage", "[1]", json.dumps(row(3)), '{"step": 4, "ep']))
    assert readable_rows(path) == ([row(1), row(3)], 2)


def scalars(folder):
    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    return [(e.step, e.value) for e in board.Scalars("loss")]


def test_events_of_a_run_killed_before_its_first_checkpoint_are_gone_when_it_starts_again(tmp_path):
    write(tmp_path, row(1, 5.0), row(20, 5.0))
    write(tmp_path, row(1, 4.0), row(2, 4.0))
    assert scalars(tmp_path) == [(1, 4.0), (2, 4.0)]


def test_events_after_the_checkpoint_are_gone_when_a_run_goes_on(tmp_path):
    write(tmp_path, row(1, 5.0), row(2, 5.0), row(3, 5.0))
    write(tmp_path, row(3, 4.0), step=2)
    assert scalars(tmp_path) == [(1, 5.0), (2, 5.0), (3, 4.0)]


def test_recent_rows_are_the_first_the_last_and_every_knn_between(tmp_path):
    log = Log(tmp_path, -1)
    log.rows = [row(n, **({"knn": 0.1} if n == 1000 else {})) for n in range(2000)]
    log.close()
    steps = [r["step"] for r in log.recent()]
    assert steps == [*range(500), 1000, *range(1500, 2000)]


def test_a_log_that_cannot_be_read_is_a_sentence(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(MocoError, match=r"log.jsonl cannot be read: is a directory"):
        readable_rows(tmp_path / "log.jsonl")
