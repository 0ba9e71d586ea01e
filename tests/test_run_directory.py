"""The run directory: refused early where it cannot be, never claimed twice, and plain words for damaged files."""

import os
import subprocess

import pytest

from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import override, v2
from moco.run.directory import DataRecord, RunDirectory, find_run, is_run, refuse_unusable, start_run
from moco.run.environment import commit, environment

DATA = DataRecord("photos", 100, "f" * 64)


@pytest.fixture
def run(tmp_path):
    run = start_run(tmp_path / "run", v2(), Machine(), DATA)
    yield run
    run.unlock()


def test_a_started_run_is_found_with_its_recipe_and_data(run):
    assert is_run(run.path)
    assert find_run(run.path).recipe() == v2()
    assert run.read("data.json") == {"data": "photos", "images": 100, "fingerprint": "f" * 64}
    assert run.read("machine.json")["memory_gib"] == 4.0
    assert run.read("nothing.json") == {}


def test_a_folder_without_a_recipe_is_no_run(tmp_path):
    with pytest.raises(MocoError, match="is not a run directory"):
        find_run(tmp_path)


def test_without_a_checkpoint_another_recipe_may_take_the_place(run):
    run.unlock()
    start_run(run.path, override(v2(), {"epochs": 3}), Machine(), DATA).unlock()
    assert find_run(run.path).recipe().epochs == 3


def test_with_a_checkpoint_another_recipe_and_other_data_are_refused_and_the_lock_is_given_back(run):
    run.checkpoint.write_bytes(b"x")
    run.unlock()
    with pytest.raises(MocoError, match=r"epochs was 200, now 3\. Repeat the first command"):
        start_run(run.path, override(v2(), {"epochs": 3}), Machine(), DATA)
    with pytest.raises(MocoError, match="100 images of photos; pictures now has 7"):
        start_run(run.path, v2(), Machine(), DataRecord("pictures", 7, "e" * 64))
    start_run(run.path, v2(), Machine(), DATA).unlock()


def test_what_a_killed_writer_left_is_swept(run):
    left = run.path / "checkpoints" / ".last.pt.123.tmp"
    left.write_bytes(b"half")
    run.unlock()
    start_run(run.path, v2(), Machine(), DATA).unlock()
    assert not left.exists()


@pytest.mark.parametrize("name", ["data.json", "machine.json", "environment.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe{\0}\0"])
def test_a_damaged_file_is_named_with_the_way_out(run, name, content):
    (run.path / name).write_bytes(content)
    with pytest.raises(MocoError, match=rf"{name} is damaged .*delete it to go on without it"):
        run.read(name)


@pytest.mark.parametrize("name", ["data.json", "auto.json"])
def test_a_record_without_its_fields_is_damaged(run, name):
    (run.path / name).write_text("{}")
    with pytest.raises(MocoError, match=rf"{name} is damaged"):
        run.read(name)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe{\0}\0"])
def test_a_damaged_recipe_is_named_with_the_way_out(run, content):
    (run.path / "recipe.json").write_bytes(content)
    with pytest.raises(MocoError, match=r"recipe.json is damaged .*another --out"):
        run.recipe()


def test_places_where_no_run_can_be_are_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "x.tex").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    for path, why in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "run", "is a file|not a directory"),
        (tmp_path / "thesis", "holds other files"),
        (tmp_path / ("a" * 300), "file name too long"),
    ):
        with pytest.raises(MocoError, match=why):
            refuse_unusable(path)
    refuse_unusable(tmp_path / "new" / "and" / "deep")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write anywhere")
def test_a_parent_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(MocoError, match="cannot be written to"):
        refuse_unusable(tmp_path / "run")
    tmp_path.chmod(0o700)


def test_the_environment_names_versions_command_and_seed():
    found = environment(override(v2(), {"seed": 7}))
    assert found["seed"] == 7
    assert {"moco", "commit", "python", "torch", "command", "started"} <= found.keys()


def test_the_commit_is_that_of_the_checkout_with_a_plus_where_files_changed(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@x"]
        done = subprocess.run(["git", "-C", tmp_path, *who, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert commit(tmp_path) is None
    git("init", "-q")
    assert commit(tmp_path) is None
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "one")
    assert commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "a").write_text("2")
    assert commit(tmp_path) == git("rev-parse", "HEAD") + "+"


def test_a_second_writer_is_refused(run):
    other = RunDirectory(run.path)
    with pytest.raises(MocoError, match="in use by another process"):
        other.lock()
