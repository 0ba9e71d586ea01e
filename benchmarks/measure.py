"""Measuring in turns: what else the machine does then hits all that is compared."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def best_of(work: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """The least seconds of each, after one turn to warm up."""
    best = dict.fromkeys(work, float("inf"))
    for turn in range(turns + 1):
        for name, one in work.items():
            start = time.perf_counter()
            one()
            synchronise()
            if turn:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


class Apart:
    """One of those compared, in a process of its own: what another does to its process neither helps nor harms it.

    It starts this benchmark again with these arguments, and perhaps another environment, and works when it is told to
    (`answer`).
    """

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        command, set_here = [sys.executable, *sys.argv, *arguments], os.environ | (environment or {})
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=set_here)

    def ask(self, number: int) -> dict[str, Any]:
        """What it found, doing so much."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):  # others print too
                found: dict[str, Any] = json.loads(line)
                return found
        raise SystemExit(f"{' '.join(self.process.args)} ended with {self.process.wait()}")

    def end(self) -> None:
        """Let it go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def answer(work: Callable[[int], dict[str, Any]]) -> None:
    """In the process of an `Apart`: do what is asked for, until there is nothing more."""
    for line in sys.stdin:
        print(json.dumps(work(int(line))), flush=True)


class Rows(list[dict[str, Any]]):
    """What a long benchmark has found so far: kept in a file after each row, which the next run goes on with."""

    def __init__(self, path: Path) -> None:
        super().__init__(json.loads(path.read_text())["rows"] if path.exists() else [])
        self.path = path

    def found(self, **wanted: Any) -> dict[str, Any] | None:
        """The row that has these values."""
        return next((row for row in self if wanted.items() <= row.items()), None)

    def add(self, row: dict[str, Any], **about: Any) -> None:
        """Keep one more, with the command, the machine and what else is told `about` all of them."""
        self.append(row)
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        head = {"command": command, "cores": len(os.sched_getaffinity(0)), "versions": versions()}
        self.path.write_text(json.dumps(head | about | {"rows": self}, indent=1) + "\n")


def synchronise() -> None:
    """Wait for a GPU, if one is in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def matrix_rate(device: torch.device, dtype: torch.dtype = torch.bfloat16, side: int | None = None) -> float:
    """Operations a second of a square matrix product, large enough for the device: the machine's own measure."""
    side = side or (8192 if device.type == "cuda" else 2048)
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    return 2 * side**3 / best_of({"product": lambda: a @ b}, 5)["product"]


def copy_rate(device: torch.device, bytes_: int = 1 << 28) -> float:
    """Bytes a second that are read and written in a copy of tensors too large for the caches."""
    a = torch.zeros(bytes_, dtype=torch.uint8, device=device)
    b = torch.ones_like(a)
    return 2 * bytes_ / best_of({"copy": lambda: a.copy_(b)}, 5)["copy"]


def versions() -> dict[str, str]:
    """What the figures depend on."""
    found = {"python": platform.python_version(), "machine": processor(), "threads": str(torch.get_num_threads())}
    for name in ("torch", "torchvision", "pillow", "numba", "simplejpeg", "lightly", "kornia", "stable-pretraining"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def processor() -> str:
    """The GPU, or what the system calls the CPU."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def show(result: dict[str, object]) -> None:
    """One line for each value."""
    for name, value in result.items():
        print(f"{name:36} {value}")
