"""load.py: the lines that open what was written beside it. The check runs this very file."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moco.handover.parcel import Parcel
from moco.run.atomic import write_text

NAME = "load.py"


def write_load(folder: Path, about: str, lines: Sequence[str]) -> str:
    """Write the lines as a file whose `net` is the opened encoder; gives the lines."""
    text = "\n".join(lines)
    write_text(folder / NAME, f'"""{about}"""\n\n{text}\n')
    return text


def opened_by_load(folder: Path, name: str = "net") -> Any:
    """What the lines call `name`, after they have run."""
    return runpy.run_path(str(folder / NAME))[name]


def outputs_of(net: nn.Module, parcel: Parcel, head: str | None) -> Callable[[Tensor], list[Tensor]]:
    """What `Parcel.outputs` gives, by a network with its head at the place `head`, or without one."""

    @torch.no_grad()
    def again(pixels: Tensor) -> list[Tensor]:
        images = parcel.normalised(pixels)
        if head is None:
            return [net(images)]
        seen: list[Tensor] = []
        hook = net.get_submodule(head).register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        projected = F.normalize(net(images), dim=1)
        hook.remove()
        return [*seen, projected]

    return again
