"""Where tensors live and in which precision they are multiplied; measured once, then written down."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from moco.errors import MocoError
from moco.machine import Machine


@dataclass(frozen=True)
class Placement:
    """A device, bf16 autocast or fp32, and the memory format of images."""

    device: torch.device
    bf16: bool
    channels_last: bool
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


def place(machine: Machine) -> Placement:
    """Choose for this machine; measures bf16 against fp32 (about half a second) where `precision` is `auto`."""
    device = _device(machine.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    if machine.precision != "auto":
        bf16 = machine.precision == "bf16"
        return Placement(device, bf16, channels_last=True, reason=f"{machine.precision} on {name}, as asked")
    ratio = _rate(device, bf16=True) / _rate(device, bf16=False)
    if ratio > 1.1:
        reason = f"bf16 with channels_last on {name}: {ratio:.1f} times the speed of plain fp32, measured"
        return Placement(device, True, channels_last=True, reason=reason)
    return Placement(device, False, channels_last=True, reason=f"fp32 on {name}: bf16 is no faster here, measured")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MocoError(f"--machine.device {name} cannot be used here: {str(error).splitlines()[0]}") from None
    return device


def _rate(device: torch.device, bf16: bool) -> float:
    """Steps a second of two small convolution blocks, forward and backward: the shapes of a ResNet's middle."""
    fmt = torch.channels_last if bf16 else torch.contiguous_format
    with torch.random.fork_rng(devices=[]):
        net = nn.Sequential(*(nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64)) for _ in range(2)))
        net = net.to(device).to(memory_format=fmt)
        x = torch.randn(32, 64, 16, 16, device=device).contiguous(memory_format=fmt)

    def step() -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            loss: Tensor = net(x).float().square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for _ in range(2):
        float(step().detach())
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(3):
            loss = step()
        float(loss.detach())
        best = min(best, time.perf_counter() - start)
    return 3 / best
