"""A logger in a thread of its own: nothing that it does, or fails to do, keeps the training waiting."""

from __future__ import annotations

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
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
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
        if self._jobs.qsize() >= MOST_HELD:
            self._left_out += 1
        elif not self._broken:
            self._jobs.put(job)

    def end(self, ending: Ending) -> None:
        """End the record when what was put before is done; returns at once."""
        self._jobs.put(lambda logger: logger.close(ending))
        self._jobs.put(None)

    def leave(self, seconds: float) -> None:
        """Wait so long for the end of the record, then leave it behind and say so; at once where it is not open yet."""
        self._thread.join(seconds if self._opened.is_set() else 0)
        if self._broken:
            return
        if self._thread.is_alive():
            why = f"has not taken everything after {seconds:.0f} s" if self._opened.is_set() else "could not be reached"
            self._say(f"{self.name} {why} and is left behind; log.jsonl has everything")
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
