"""What worker processes make comes in order, and a worker that is killed is told once, whenever that happens."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from torch.utils.data import Dataset

from moco.data.workers import from_workers, killed_workers_are_told
from moco.errors import MocoError


class Squares(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        if i >= len(self):
            raise IndexError(i)
        return i * i


@pytest.mark.parametrize("workers", [0, 1])
def test_items_come_in_order_and_no_process_is_left(workers):
    assert list(from_workers(Squares(), workers)) == [i * i for i in range(12)]
    assert list(from_workers(Squares(), workers, batch=5, collate=sum, ahead=3)) == [30, 255, 221]
    assert not multiprocessing.active_children()


def kill_one():
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)


def test_a_killed_worker_is_told_in_one_sentence():
    def loop():
        for item in from_workers(Squares(), 1, ahead=1):
            if item == 4:
                kill_one()

    with pytest.raises(MocoError, match=r"^a process that decodes images was killed, .*$"), killed_workers_are_told():
        loop()
    assert not multiprocessing.active_children()


def test_a_worker_killed_while_the_loop_is_left_for_another_reason_prints_nothing():
    """torch says that a worker was killed from the handler of a signal, which may come within a destructor."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for wait in (0, 0.002, 0.01):
            items = from_workers(Squares(), 1, ahead=1)
            assert next(items) == 0
            with suppress(RuntimeError):  # in the sleep already, before the loop was left
                kill_one()
                time.sleep(wait)
            items.close()
            gc.collect()
            assert not multiprocessing.active_children()


def test_a_program_that_ends_amid_a_loop_ends():
    script = "from test_data_workers import *; items = from_workers(Squares(), 1); print(next(items) + 1)"
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parent, timeout=60, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n", b"")
