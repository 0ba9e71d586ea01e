"""Where tensors live and how they are multiplied; measured once a run, then written down."""

from __future__ import annotations

import ctypes
import dataclasses
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from moco import distributed
from moco.arguments import of_its_types
from moco.errors import MocoError
from moco.machine import Machine

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""What glibc's malloc.h calls M_TRIM_THRESHOLD (-1: never) and M_MMAP_MAX (0: no block is the system's alone)."""


@dataclass(frozen=True)
class Placement:
    """A device, bf16 autocast or fp32, the memory format of images, and CPU threads."""

    device: torch.device
    bf16: bool
    channels_last: bool
    threads: int
    reason: str
    """One line for people: what was chosen and why."""

    def autocast(self) -> torch.autocast:
        """The context of the encoders' forward pass."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    @property
    def memory_format(self) -> torch.memory_format:
        """Of images and convolution weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def put(self, module: nn.Module) -> nn.Module:
        """The module on the device, in the memory format."""
        return module.to(self.device).to(memory_format=self.memory_format)


@of_its_types()
def place(machine: Machine | None = None) -> Placement:
    """Choose for this machine, and set the CPU threads; about a second where `precision` or `threads` is open.

        place = moco.place()        # or moco.place(moco.Machine(device="cuda:1", precision="bf16"))
        net = place.put(net)        # on the device, in the memory format
        with place.autocast(): ...

    What `moco pretrain` does first. Raises MocoError for a device that cannot be used.
    """
    machine = machine or Machine()
    device = find_device(machine.device)
    most = machine.threads or torch.get_num_threads()
    if machine.reproducible:
        precision = "bf16" if machine.precision == "bf16" else "fp32"
        reason = f"{precision} on {_name(device, most)}, by rule (--machine.reproducible)"
        placement = Placement(device, precision == "bf16", True, most, reason)
    elif machine.precision == "auto" or (machine.threads is None and device.type == "cpu" and most > 1):
        placement = _measured(device, machine, most)
    else:
        reason = f"{machine.precision} on {_name(device, most)}, as set"
        placement = Placement(device, machine.precision == "bf16", True, most, reason)
    _settle(placement)
    return placement


def place_all(machine: Machine) -> Placement:
    """The main process's choice, on all: they must round alike. Each has the device of its number."""
    placement = distributed.on_main(lambda: place(machine))
    _settle(placement)
    return dataclasses.replace(placement, device=distributed.own_device(placement.device))


def _settle(placement: Placement) -> None:
    torch.set_num_threads(placement.threads)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let this process keep what tensors give back, and use it again; where the C library is glibc.

    By default glibc gives it back to the system, and gets it again in every step, page by page and full of zeros.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.libc_ver()[0] == "glibc" else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, -1)
        mallopt(_MMAP_MAX, 0)


def _measured(device: torch.device, machine: Machine, most: int) -> Placement:
    """The fastest of the precisions and formats; one thread only where more are clearly slower."""
    precisions = {"auto": (True, False), "bf16": (True,), "fp32": (False,)}[machine.precision]
    if machine.precision == "auto" and not _has_bf16(device):
        precisions = (False,)
    counts = (most,) if machine.threads is not None or device.type != "cpu" else tuple({most, 1})
    trials = {(bf16, cl, n): _trial(device, bf16, cl) for bf16 in precisions for cl in (True, bf16) for n in counts}
    rates = dict.fromkeys(trials, 0.0)
    for _ in range(4):  # in turns, so that whatever else the machine does hits all of them
        for (bf16, cl, n), trial in trials.items():
            torch.set_num_threads(n)
            rates[bf16, cl, n] = max(rates[bf16, cl, n], _rate(trial))
    biased = {key: rate * (1.2 if key[2] == most else 1.0) for key, rate in rates.items()}
    bf16, channels_last, threads = max(biased, key=lambda key: biased[key])
    plain = max(rate for (b, _, n), rate in rates.items() if not b and n == threads) if False in precisions else 0.0
    words = f"{'bf16' if bf16 else 'fp32'} on {_name(device, threads)}"
    if bf16 and plain:
        words += f": {rates[bf16, channels_last, threads] / plain:.1f} times the speed of fp32, measured"
    elif machine.precision == "auto":
        words += ": bf16 is no faster here, measured"
    if threads < most:
        words += f"; {most} threads are slower now (is the machine busy? --machine.threads {most} insists)"
    return Placement(device, bf16, channels_last, threads, words)


def _has_bf16(device: torch.device) -> bool:
    """Whether products of bf16 are worth a closer look: a processor without them takes a hundred times as long."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(128, 128, device=device, dtype=dtype)

        def product(a: torch.Tensor = a) -> float:
            return float((a @ a)[0, 0])

        seconds[dtype] = 1 / max(_rate(product) for _ in range(2))
    return seconds[torch.bfloat16] < 4 * seconds[torch.float32]


def _name(device: torch.device, threads: int) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"the CPU with {threads} thread{'s' if threads > 1 else ''}"


def find_device(name: str) -> torch.device:
    """The device that `--machine.device` names; raises MocoError where it cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MocoError(f"--machine.device {name} cannot be used here: {str(error).splitlines()[0]}") from None
    return device


def _trial(device: torch.device, bf16: bool, channels_last: bool) -> Callable[[], float]:
    """Forward and backward of two small convolution blocks, the shapes of a ResNet's middle."""
    fmt = torch.channels_last if channels_last else torch.contiguous_format
    with seeded(0, device):
        net = nn.Sequential(*(nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64)) for _ in range(2)))
        net = net.to(device).to(memory_format=fmt)
        x = torch.randn(32, 64, 16, 16, device=device).contiguous(memory_format=fmt)

    def step() -> float:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            loss = net(x).float().square().mean()
        loss.backward()
        return float(loss.detach())

    return step


def _rate(step: Callable[[], float]) -> float:
    step()
    start = time.perf_counter()
    for _ in range(3):
        step()
    return 3 / (time.perf_counter() - start)


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def most_memory_gib(device: torch.device) -> float:
    """Most memory taken so far: of the GPU, or of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's generators start from `seed` inside, and are as they were afterwards."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
