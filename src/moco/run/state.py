"""Whether a run goes on, was stopped, has finished or has died: from its files, touching none of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from moco.run.directory import LOCK, RECIPE

State = Literal["running", "stopped", "finished", "dead"]

RECENT = 300.0
"""Seconds since the last row within which a run of another machine counts as running."""

_REMOTE = ("nfs", "cifs", "smb", "fuse", "lustre", "gpfs", "beegfs", "ceph", "9p", "virtiofs", "afs")
_DEPTH = 4
"""Folders below the one that is looked through."""


@dataclass(frozen=True)
class Held:
    """Which files are locked on this machine, asked of the system once for any number of runs."""

    inodes: frozenset[int] | None
    """Of locked files; None where the system does not say."""
    remote: tuple[str, ...]
    """Where disks of other machines begin."""

    @classmethod
    def now(cls) -> Held:
        """As it is at this moment."""
        try:
            lines = Path("/proc/locks").read_text().splitlines()
            inodes = frozenset(int(line.split(":")[-1].split()[0]) for line in lines if "FLOCK" in line)
        except (OSError, ValueError, IndexError):
            return cls(None, ())
        mounts = []
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/mounts").read_text().splitlines():
                _, where, kind, *_ = line.split(" ")
                if kind.startswith(_REMOTE):
                    mounts.append(where.replace("\\040", " ").rstrip("/") + "/")
        return cls(inodes, tuple(mounts))

    def state(self, run: Path, step: int, steps: int) -> State:
        """Of the run that has logged `step` of `steps`."""
        if self._locked(run):
            return "running"
        if steps and step >= steps:
            return "finished"
        logged, saved = _changed(run / "log.jsonl"), _changed(run / "checkpoints" / "last.pt")
        if not self._says(run) and time.time() - logged < RECENT:
            return "running"
        if _held_to_the_end(run):
            return "dead"
        # a run that is asked to stop saves after its last row; one that failed leaves rows behind its checkpoint
        return "stopped" if saved and saved >= logged - 2 else "dead"

    def _locked(self, run: Path) -> bool:
        if self.inodes is None:
            return False
        try:
            return (run / LOCK).stat().st_ino in self.inodes
        except OSError:
            return False

    def _says(self, run: Path) -> bool:
        """Whether a run without a lock is surely not running: not where another machine may hold it."""
        return self.inodes is not None and not os.path.abspath(run).startswith(self.remote)  # noqa: PTH100


def _held_to_the_end(run: Path) -> bool:
    """Whether the last process that wrote the run never let go of it: it was killed."""
    try:
        return (run / LOCK).stat().st_size > 0
    except OSError:
        return False


def _changed(path: Path) -> float:
    """When a file was last written, in seconds; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def runs_below(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """All runs in a folder and in those below it, by name; nothing is looked for inside a run."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    if any(entry.name == RECIPE for entry in entries):
        yield folder
        return
    if depth:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=True):
                yield from runs_below(Path(entry.path), depth - 1)
