"""Running, stopped, finished or dead, told from files."""

import os
import time

import pytest

from moco.machine import Machine
from moco.recipe import v2
from moco.run.directory import DataRecord, InUse, RunDirectory, start_run
from moco.run.state import Held, runs_below


@pytest.fixture
def run(tmp_path):
    one = start_run(tmp_path / "run", v2(), Machine(), DataRecord("demo", 100, "x"))
    one.log.write_text('{"step": 5}\n')
    yield one
    one.unlock()


def aged(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="this system does not tell what is locked")  # noqa: PTH110
def test_a_locked_run_is_running_and_looking_takes_no_lock(run):
    assert Held.now().state(run.path, 5, 100) == "running"
    run.unlock()
    aged(run.log, 1000)
    assert Held.now().state(run.path, 5, 100) == "dead"
    other = RunDirectory(run.path)
    other.lock()  # nothing holds it
    other.unlock()


def test_all_steps_made_is_finished(run):
    run.unlock()
    assert Held(frozenset(), ()).state(run.path, 100, 100) == "finished"
    assert Held(frozenset(), ()).state(run.path, 99, 100) != "finished"


def test_saved_after_its_last_row_is_stopped_and_rows_behind_the_checkpoint_are_dead(run):
    run.unlock()
    held = Held(frozenset(), ())
    run.checkpoint.write_bytes(b"")
    aged(run.log, 10)
    assert held.state(run.path, 5, 100) == "stopped"
    aged(run.checkpoint, 500)
    assert held.state(run.path, 5, 100) == "dead"


def test_a_process_that_never_let_go_has_died_however_fresh_its_checkpoint(run):
    """As of epochs that take less than the clock of files tells apart."""
    run.checkpoint.write_bytes(b"")
    held = Held(frozenset(), ())  # nothing is locked any more
    assert held.state(run.path, 5, 100) == "dead"
    with pytest.raises(InUse):
        RunDirectory(run.path).lock()
    assert held.state(run.path, 5, 100) == "dead", "who is refused changes nothing"
    run.unlock()
    assert held.state(run.path, 5, 100) == "stopped"


def test_a_run_of_another_machine_is_running_while_its_log_grows(run):
    run.unlock()
    for held in (Held(frozenset(), (f"{run.path.parent}/",)), Held(None, ())):
        aged(run.log, 10)
        assert held.state(run.path, 5, 100) == "running"
        aged(run.log, 1000)
        assert held.state(run.path, 5, 100) == "dead"


def test_runs_are_found_at_any_depth_and_nothing_inside_them(tmp_path):
    for name in ("b", "a/deep/er", "a/one", ".hidden/run"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "recipe.json").write_text("{}")
    (tmp_path / "b" / "inside").mkdir()
    (tmp_path / "b" / "inside" / "recipe.json").write_text("{}")
    assert [str(p.relative_to(tmp_path)) for p in runs_below(tmp_path)] == ["a/deep/er", "a/one", "b"]
    assert list(runs_below(tmp_path / "missing")) == []
