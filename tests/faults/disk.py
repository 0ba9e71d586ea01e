"""Run by test_disk.py in a mount namespace of its own: a run whose disk fills, is read-only, and has room again."""

import shutil
import subprocess
import sys
from pathlib import Path

import jobs

from moco.commands.pretrain import pretrain
from moco.commands.tell import Silent
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import override, v2

RECIPE = override(v2(), {**jobs.RECIPE, "batch": 32, "epochs": 1})
MACHINE = Machine(**{**jobs.MACHINE, "log_every": 5}, checkpoint_seconds=0.01)


class Fills(Silent):
    """Fills the disk in mid-run: after step 5, with checkpoints written behind each step."""

    def __init__(self, file):
        self.file = file

    def row(self, row, step, steps, seconds_left):
        if step == 5 and "loss" in row:
            with self.file.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(1 << 16))
                except OSError as error:
                    print("filled:", error.strerror)


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


def attempt(what, data, run, tell=None):
    try:
        pretrain(data, run, RECIPE, machine=MACHINE, tell=tell)
        print(f"{what}: finished")
    except MocoError as error:
        print(f"{what}: {error}")


def main(data, disk, kept):
    mount("-t", "tmpfs", "-o", "size=8m", "none", disk)
    run, filler = disk / "run", disk / "filler"
    attempt("full", data, run, Fills(filler))
    mount("-o", "remount,ro", disk)
    attempt("read-only", data, run)
    mount("-o", "remount,rw", disk)
    filler.unlink()
    attempt("room", data, run)
    shutil.copytree(run, kept)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
