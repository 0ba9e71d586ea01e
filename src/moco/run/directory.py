"""The run directory: made, checked against what is asked for now, locked, and found again."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import Recipe, flatten, read_json, to_json
from moco.run.atomic import trouble_is_told, write_text
from moco.run.environment import Seeded, environment

BEGINNING = "init.json"
"""What a run started from, where that was not random weights."""

WORDS = "words.json"
"""The tokenizer of a run on images with captions."""

PAIRS = "pairs.json"
"""Where the groups of its images come from, where a run knows any."""

LOCK = ".lock"
"""What a process holds as long as it writes the run."""

_EARLY = {LOCK, "skipped.txt", "checkpoints", "data.json", "environment.json", "machine.json", "auto.json"}
_EARLY |= {BEGINNING, PAIRS, WORDS, "left_out.txt"}
"""What a start that failed (on a full disk, say) may leave behind."""


_NEEDED = {"data.json": {"data", "images", "fingerprint"}, "auto.json": {"asked", "rates", "views"}}
"""Fields without which a file is damaged."""


class InUse(MocoError):  # noqa: N818  (a state of the run, not a defect)
    """Another process is writing this run."""


@dataclass(frozen=True)
class DataRecord:
    """Which images a run is trained on: enough to notice that they have changed."""

    data: str
    images: int
    fingerprint: str


R = TypeVar("R")

RECIPE = "recipe.json"
"""What pretraining calls its recipe; another work has another name, so that neither is taken for the other."""


class RunDirectory:
    """The files of one run, by name; holds a lock while open for writing."""

    def __init__(self, path: Path, recipe_name: str = RECIPE) -> None:
        self.path = path
        self.recipe_name = recipe_name
        self._lock: IO[str] | None = None

    @property
    def checkpoint(self) -> Path:
        """Everything needed to go on."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def checkpoint_before(self) -> Path:
        """The checkpoint before: what a run goes on from where the last is damaged."""
        return self.path / "checkpoints" / "before.pt"

    @property
    def encoder(self) -> Path:
        """The query encoder with its recipe and preprocessing."""
        return self.path / "encoder.pt"

    @property
    def text_encoder(self) -> Path:
        """The query encoder of texts with its tokenizer, in a run on images with captions."""
        return self.path / "text.pt"

    @property
    def log(self) -> Path:
        """One JSON object a line."""
        return self.path / "log.jsonl"

    @property
    def skipped(self) -> Path:
        """Files that could not be read, and why."""
        return self.path / "skipped.txt"

    @property
    def evaluations(self) -> Path:
        """A folder with one JSON file for each evaluation."""
        return self.path / "evaluations"

    @property
    def report(self) -> Path:
        """The page about the run."""
        return self.path / "report.html"

    def recipe(self) -> Recipe:
        """The recipe this run was started with; raises MocoError where its file is damaged."""
        return self.recipe_of(Recipe)

    def recipe_of(self, kind: type[R]) -> R:
        """The same, of another work."""
        path = self.path / self.recipe_name
        try:
            return read_json(path.read_text(encoding="utf-8"), kind)
        except (OSError, ValueError) as error:
            raise MocoError(
                f"{path} is damaged ({error}); put back a copy of it, or start anew with another --out "
                "(encoder.pt holds the recipe too: moco.load reads that file alone)"
            ) from None

    def read(self, name: str) -> dict[str, Any]:
        """One of the JSON files; empty where it is not there. Raises MocoError where it is damaged."""
        path = self.path / name
        if not path.exists():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or not content.keys() >= _NEEDED.get(name, set()):
                raise ValueError("fields are missing")
        except (OSError, ValueError) as error:
            raise MocoError(f"{path} is damaged ({error}); put back a copy, or delete it to go on without it") from None
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Replace one of the JSON files."""
        write_text(self.path / name, json.dumps(content, indent=2) + "\n")

    def open(self) -> None:
        """Make the folder where it is not there, and lock it; what a writer that was killed left half done goes.

        Nothing where this object holds the lock already. Raises MocoError where the folder cannot be used, InUse where
        another process writes to it.
        """
        if self._lock is not None:
            return
        refuse_unusable(self.path, self.recipe_name)
        try:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MocoError(
                f"--out {self.path}: {(error.strerror or str(error)).lower()}; name another folder"
            ) from None
        self.lock()
        for left in self.path.rglob(".*.tmp"):
            left.unlink(missing_ok=True)

    def lock(self) -> None:
        """Refuse a second writer; the lock goes with the process, however it ends.

        Its file holds a number as long as nobody unlocks it, so that a process that was killed can be told from one
        that was not.
        """
        with trouble_is_told(self.path):
            file = (self.path / LOCK).open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise InUse(
                f"{self.path} is in use by another process; wait for it, or give this run another --out"
            ) from None
        self._lock = file
        _hold(file, str(os.getpid()))
        here = weakref.ref(self)

        def in_a_child() -> None:  # which would hold the lock when this process is killed
            if (run := here()) is not None and run._lock is not None:
                run._lock.close()
                run._lock = None

        os.register_at_fork(after_in_child=in_a_child)

    def unlock(self) -> None:
        """Let others write."""
        if self._lock is not None:
            _hold(self._lock, "")
            self._lock.close()
            self._lock = None


def _hold(file: IO[str], text: str) -> None:
    """Let the file of a lock hold nothing but this; a full disk does not matter."""
    with contextlib.suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), text.encode())  # without a buffer, which would fail again when it is closed


def find_run(path: Path) -> RunDirectory:
    """The run at `path`; raises MocoError where there is none."""
    if not is_run(path):
        raise MocoError(f"{path} is not a run directory (it has no recipe.json); name the folder given as --out")
    return RunDirectory(path)


def is_run(path: Path, recipe_name: str = RECIPE) -> bool:
    """Whether a run was started at `path`."""
    return (path / recipe_name).exists()


def refuse_unusable(path: Path, recipe_name: str = RECIPE) -> None:
    """Raise MocoError where no run could be written, before anything else takes time; writes nothing."""
    try:
        if path.exists() and not path.is_dir():
            raise MocoError(f"--out {path} is a file; name a folder")
        if path.exists() and not is_run(path, recipe_name) and any(p.name not in _EARLY for p in path.iterdir()):
            raise MocoError(f"--out {path} holds other files; name a new folder")
    except OSError as error:
        raise MocoError(f"--out {path}: {(error.strerror or str(error)).lower()}; name another folder") from None
    refuse_unwritable(path)


def refuse_unwritable(path: Path) -> None:
    """Raise MocoError where no folder could be made or written to; writes nothing."""
    try:
        parent = next(p for p in (path, *path.absolute().parents) if p.exists())
    except OSError as error:
        raise MocoError(f"--out {path}: {(error.strerror or str(error)).lower()}; name another folder") from None
    if not parent.is_dir():
        raise MocoError(f"--out {path}: {parent} is a file; name a folder elsewhere")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise MocoError(f"--out {path}: {parent} cannot be written to; name a folder elsewhere, or allow it")


def start_run(path: Path, recipe: Recipe, machine: Machine, data: DataRecord) -> RunDirectory:
    """The run directory at `path`, claimed as below."""
    run = RunDirectory(path)
    claim_run(run, recipe, machine, data)
    return run


def claim_run(run: RunDirectory, recipe: Seeded, machine: Machine, data: DataRecord) -> None:
    """Make the run directory, or open the one that is there if it is of the same recipe and data; lock it.

    Raises MocoError where the folder belongs to something else, another recipe, other data or another process.
    """
    run.open()
    try:
        _claim(run, recipe, machine, data)
    except BaseException:
        run.unlock()
        raise


def _claim(run: RunDirectory, recipe: Seeded, machine: Machine, data: DataRecord) -> None:
    """Write what the run is about, or, once it has a checkpoint, refuse to make it about something else."""
    if is_run(run.path, run.recipe_name) and run.checkpoint.exists():
        _refuse_another_recipe(run, recipe)
        _refuse_other_data(run, data)
        return
    run.write("data.json", dataclasses.asdict(data))
    run.write("environment.json", environment(recipe))
    run.write("machine.json", dataclasses.asdict(machine))
    write_text(run.path / run.recipe_name, to_json(recipe) + "\n")


def _refuse_another_recipe(run: RunDirectory, recipe: Seeded) -> None:
    old, new = flatten(run.recipe_of(type(recipe))), flatten(recipe)
    different = [
        f"{name} was {old.get(name, 'not there')}, now {new.get(name, 'not there')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name, old) != new.get(name, new)
    ]
    if different:
        raise MocoError(
            f"{run.path} was started with another recipe: {'; '.join(different[:5])}"
            f"{f' and {len(different) - 5} more' if len(different) > 5 else ''}. "
            "Repeat the first command to continue, or name another --out"
        )


def _refuse_other_data(run: RunDirectory, data: DataRecord) -> None:
    old = run.read("data.json")
    if old and old["fingerprint"] != data.fingerprint:
        raise MocoError(
            f"{run.path} was started on {old['images']:,} images of {old['data']}; {data.data} now has "
            f"{data.images:,}, or others. A run goes on only with the same images; name another --out"
        )
