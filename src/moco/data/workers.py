"""Worker processes that prepare what a loop takes: who hears signals, and what is said of one that was killed."""

from __future__ import annotations

import atexit
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, Dataset

from moco.errors import MocoError

_KILLED = r"DataLoader worker .*(killed by|exited)"


def from_workers(
    dataset: Dataset[Any],
    workers: int,
    *,
    batch: int | None = None,
    collate: Callable[[list[Any]], Any] | None = None,
    ahead: int | None = None,
) -> Iterator[Any]:
    """The items of a data set in order (`batch` at a time), made by so many processes, each `ahead` of what is taken.

    None of the processes is left when the iterator ends or is closed. torch raises wherever the main process is then
    that a worker was killed: also while the others are sent home, where it would be printed and not raised.
    """
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=batch,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=leave_signals_to_the_main_process,
        prefetch_factor=ahead if workers else None,
    )
    items = iter(loader)
    end = partial(_send_home, items)
    atexit.register(end)  # before multiprocessing waits for workers, which do not hear that they are to end
    try:
        yield from items
        end()
    finally:
        atexit.unregister(end)
        with suppress(RuntimeError):  # nobody waits for the one that was killed any more
            end()


def _send_home(items: object) -> None:
    """End the workers now, and not when the iterator is collected, which no error leaves."""
    shut_down = getattr(items, "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()


@contextmanager
def killed_workers_are_told() -> Iterator[None]:
    """Turn what torch raises about a killed worker, wherever the main process is then, into a sentence."""
    try:
        yield
    except (RuntimeError, ConnectionResetError, EOFError) as error:  # the last two from the queue that it filled
        if isinstance(error, RuntimeError) and not re.search(_KILLED, str(error)):
            raise
        raise MocoError(
            "a process that decodes images was killed, for a lack of memory perhaps (--machine.workers sets how many "
            "there are); the same command goes on from the last checkpoint"
        ) from None


def leave_signals_to_the_main_process(worker: int) -> None:
    """Ctrl-C and a scheduler's SIGTERM reach all processes of a group; the main one alone decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
