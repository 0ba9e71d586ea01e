"""A logger in a thread of its own: nothing that it does, or fails to do, keeps the training waiting."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable

from moco.loggers.logger import Ending, Logger

MOST_HELD = 10_000
"""What waits for a logger at most; beyond, rows are left out, and that is said at the end."""

Job = Callable[[Logger], None]


class Apart:
    """Opens a logger and hands it one job after the other, in their order, apart from whoever asks for them.

    The first error, of opening too, ends the record: it is said once, and what comes later is let go.
    """

    def __init__(self, name: str, open_it: Callable[[], Logger], say: Callable[[str], None]) -> None:
        self.name = name
        self._open, self._say = open_it, say
        self._jobs: queue.Queue[Job | None] = queue.Queue(MOST_HELD)
        self._opened = threading.Event()
        self._left_out = 0
        self._broken = False
        self._thread = threading.Thread(target=self._work, name=f"log {name}", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until the record is open, or has failed to, or so long."""
        self._opened.wait(seconds)

    def put(self, job: Job) -> None:
        """Do this when its turn comes; returns at once."""
        if self._broken:
            return
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self._left_out += 1

    def close(self, ending: Ending, seconds: float) -> None:
        """End the record; after so many seconds it is left behind, and that is said."""
        self.put(lambda logger: logger.close(ending))
        with contextlib.suppress(queue.Full):
            self._jobs.put(None, timeout=0 if self._broken else seconds)
        self._thread.join(seconds)
        if self._broken:
            return
        if self._thread.is_alive():
            self._say(f"{self.name} has not taken everything after {seconds:.0f} s and is left behind")
        elif self._left_out:
            self._say(f"{self.name} was too slow: {self._left_out:,} rows are left out of it; log.jsonl has them")

    def _work(self) -> None:
        try:
            logger = self._open()
            self._say(f"{self.name}: {logger.where}")
            self._opened.set()
            while (job := self._jobs.get()) is not None:
                job(logger)
        except (Exception, SystemExit) as error:  # of a library that may raise anything
            self._broken = True
            first = str(error).strip().split("\n")[0]
            said = f"{type(error).__name__}: {first}" if first else type(error).__name__
            self._say(
                f"{self.name} is not written any more ({said:.300}); the run goes on, and log.jsonl has everything"
            )
        finally:
            self._opened.set()
