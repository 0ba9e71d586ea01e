"""How many processes there are, which this is, and what part of the rows is its own."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    """Which of them this is, counted from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def main_process() -> bool:
    """Whether this is the one that writes files and talks; also known before they have joined and after they left."""
    return number() == 0 if dist.is_initialized() else os.environ.get("RANK", "0") == "0"


def own_device(device: torch.device) -> torch.device:
    """This process's own device of a kind: with several processes, the GPU of its number on this machine."""
    if count() > 1 and device.type == "cuda":
        return torch.device("cuda", torch.cuda.current_device())
    return device


def share(n: int, unit: int) -> slice:
    """The part of n rows that is this process's: whole blocks of `unit` rows, as even as they allow."""
    blocks = -(-n // unit)
    first, behind = (blocks * (number() + i) // count() * unit for i in (0, 1))
    return slice(min(first, n), min(behind, n))


def first_row(rows: int) -> int:
    """The place in the whole batch of the first of this process's `rows` rows."""
    return number() * rows


def own_rows(rows: int) -> slice:
    """This process's share of `rows` rows of the whole batch."""
    share = rows // count()
    return slice(number() * share, (number() + 1) * share)
