"""Being asked to stop: by Ctrl-C, a scheduler or a closed terminal, heard at once and heeded between two steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):  # noqa: N818  (not an error: the user asked for it)
    """The run was asked to stop by a signal, and has saved itself."""

    def __init__(self, step: int, signum: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step = step
        self.signum = signum


@contextmanager
def signals_heard() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP, to stop between two steps; a second Ctrl-C stops at once."""
    asked: list[int] = []

    def ask(signum: int, frame: FrameType | None) -> None:
        if asked and signum == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(signum)

    try:
        heard = [s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) != signal.SIG_IGN]
        old = {s: signal.signal(s, ask) for s in heard}
    except ValueError:  # not the main thread: signals are somebody else's
        yield asked
        return
    try:
        yield asked
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)
