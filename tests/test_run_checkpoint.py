"""Checkpoints of anything that has a state: two generations, and what is said where they are damaged."""

import pytest

from moco.commands.tell import Silent
from moco.errors import MocoError
from moco.run.checkpoint import keep, resume, save
from moco.run.directory import RunDirectory


class Count:
    """The least that can be saved."""

    def __init__(self, step=0):
        self.step = step

    def state(self):
        return {"step": self.step}

    def restore(self, state):
        self.step = int(state["step"])


class Notes(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    return RunDirectory(tmp_path)


def nothing():
    pass


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(run):
    fresh = Count()
    assert not resume(fresh, run, Silent())
    assert fresh.step == 0


def test_the_last_checkpoint_is_gone_on_from_and_in_silence(run):
    for step in (1, 2, 3):
        save(Count(step), run, nothing)
    again, told = Count(), Notes()
    assert resume(again, run, told)
    assert again.step == 3
    assert told.notes == []


def test_where_the_last_is_damaged_the_one_before_is_taken_and_said(run):
    for step in (1, 2, 3):
        save(Count(step), run, nothing)
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:100])
    again, told = Count(), Notes()
    assert resume(again, run, told)
    assert again.step == 2
    assert len(told.notes) == 1
    assert told.notes[0].endswith("going on from before.pt, the checkpoint of step 2")


def test_what_must_come_first_comes_before_either_generation_changes(run):
    save(Count(1), run, nothing)
    save(Count(2), run, nothing)

    def full():
        raise MocoError("no space")

    before = run.checkpoint.read_bytes(), run.checkpoint_before.read_bytes()
    with pytest.raises(MocoError, match="no space"):
        save(Count(3), run, full)
    assert (run.checkpoint.read_bytes(), run.checkpoint_before.read_bytes()) == before


def test_where_neither_is_whole_a_kept_copy_is_named(run):
    save(Count(1), run, nothing)
    run.checkpoint.write_bytes(b"x")
    with pytest.raises(MocoError, match="put back a copy, or name another --out"):
        resume(Count(), run, Silent())
    save(Count(2), run, nothing)
    keep(run, "epoch-0002")
    run.checkpoint.write_bytes(b"x")
    run.checkpoint_before.unlink()
    with pytest.raises(MocoError, match=r"copy epoch-0002\.pt over it"):
        resume(Count(), run, Silent())


def test_a_kept_checkpoint_is_a_copy_that_later_ones_leave_alone(run):
    save(Count(1), run, nothing)
    keep(run, "step-000000001")
    kept = run.checkpoint.with_name("step-000000001.pt")
    assert kept.read_bytes() == run.checkpoint.read_bytes()
    assert not kept.samefile(run.checkpoint)


def test_a_state_of_something_else_is_a_sentence(run):
    class Other(Count):
        def restore(self, state):
            raise RuntimeError("size mismatch for head.weight\nand more")

    save(Count(1), run, nothing)
    with pytest.raises(MocoError, match=r"last\.pt is of another run \(size mismatch for head\.weight\)"):
        resume(Other(), run, Silent())
