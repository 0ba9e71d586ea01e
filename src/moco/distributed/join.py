"""Joining the processes that torchrun started, in each of their lives."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from moco.errors import MocoError


@contextmanager
def processes(device: str, timeout_seconds: float) -> Iterator[None]:
    """Join the processes that torchrun started, if it did: gloo between CPUs, NCCL between GPUs.

    Raises MocoError where there are more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or dist.is_initialized():
        yield
        return
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= gpus:
            raise MocoError(
                f"process {os.environ['RANK']} is number {local} on a machine with {gpus} GPUs; start as many "
                "processes as there are GPUs, or use --machine.device cpu"
            )
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    timeout = timedelta(seconds=timeout_seconds)
    store, rank, size = next(rendezvous("env://", timeout=timeout))
    own = _store_of_this_life(store, rank, size, timeout_seconds)
    dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=timeout)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _store_of_this_life(store: Store, rank: int, size: int, timeout_seconds: float) -> Store:
    """A part of torchrun's store that no earlier life of the job has written to.

    torchrun keeps its store over restarts, with the addresses of dead processes in it, and its count of restarts
    differs between machines. So process 0 makes up a word for this life, and gives it to each process that says hello
    with a word of its own: an old hello or an old answer then fits nobody.
    """
    hello, until = secrets.token_hex(8), time.monotonic() + timeout_seconds
    if rank == 0:
        answered: dict[int, bytes] = {}
        while store.add(f"moco/{hello}/ready", 0) < size - 1:
            for other in range(1, size):
                if store.check([f"moco/hello/{other}"]):
                    said = store.get(f"moco/hello/{other}")
                    if answered.get(other) != said:
                        store.set(f"moco/welcome/{other}", said.decode() + hello)
                        answered[other] = said
            _pause(until)
        return PrefixStore(hello, store)
    store.set(f"moco/hello/{rank}", hello)
    while True:
        if store.check([f"moco/welcome/{rank}"]):
            answer = store.get(f"moco/welcome/{rank}").decode()
            if answer.startswith(hello):
                word = answer.removeprefix(hello)
                store.add(f"moco/{word}/ready", 1)
                return PrefixStore(word, store)
        _pause(until)


def _pause(until: float) -> None:
    if time.monotonic() > until:
        raise MocoError("not all processes came together within --machine.timeout-seconds; did all machines start?")
    time.sleep(0.02)
