"""Small real images that every test can train on: scikit-learn's handwritten digits, twice their size."""

import fcntl
import os
import shutil
import signal

os.environ["OMP_NUM_THREADS"] = "1"  # two tests run side by side, and so do the processes they start

from pathlib import Path

import numpy as np
import pytest
from browser import browser, tab  # noqa: F401  (fixtures)
from sklearn.datasets import load_digits

LONG = ("paper/test_leak", "test_distributed", "contracts/test_resume", "faults/", "gate/")
SLOW = Path(__file__).with_name("slow.txt").read_text().split()
"""Files of which a test takes seconds, or all together many; `make test-quick` leaves them out."""
GIB_A_WORKER = 4
"""A test may start four processes with torch in each."""


def pytest_xdist_auto_num_workers():
    """One worker for each core that this process may use, and no more than there is memory for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (GIB_A_WORKER << 30)
    return max(1, min(cores, memory))


def pytest_collection_modifyitems(items):
    """The files that take longest come first, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: next((n for n, name in enumerate(LONG) if name in item.nodeid), len(LONG)))
    for item in items:
        if item.nodeid.removeprefix("tests/").split("::")[0] in SLOW:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def digits():
    """(pixels N x 16 x 16 uint8, labels N)."""
    data = load_digits()
    pixels = (data.images * (255 / 16)).round().astype(np.uint8)
    return pixels.repeat(2, axis=1).repeat(2, axis=2), data.target.astype(np.int64)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A folder of this name that `make` has filled, once for all processes that test."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def folder(name, make):
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (root / name / "whole").exists():
                shutil.rmtree(root / name, ignore_errors=True)
                (root / name).mkdir()
                make(root / name)
                (root / name / "whole").touch()
        return root / name

    return folder


@pytest.fixture
def digits_file(digits, tmp_path) -> Path:
    """The first 480 digits as an array file, without labels."""
    path = tmp_path / "digits.npy"
    np.save(path, digits[0][:480])
    return path


@pytest.fixture(scope="session")
def hears_ctrl_c():
    """A shell starts work in the background deaf to SIGINT; a test of Ctrl-C must hear it there too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
