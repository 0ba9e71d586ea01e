"""Whoever is told how a run goes, and beside them the loggers: the same rows, a copy each."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from PIL import Image

from moco.errors import MocoError
from moco.loggers.apart import Apart
from moco.loggers.logger import About, Ending, Logger
from moco.loggers.table import open_logger
from moco.run.log import Row
from moco.run.show import Show
from moco.run.stop import Stopped

OPENING = 20.0
"""Seconds for which the first row waits for records to be opened; those that take longer open while steps are made."""

CLOSING, STOPPING = 60.0, 10.0
"""Seconds that loggers have to write the rest once a run has ended, and once it was stopped or has failed."""

Pictures = Callable[[], dict[str, Image.Image]]


class Followed:
    """Passes on what is shown, and writes it into loggers; opened with the first row, so that no row is no record."""

    def __init__(self, show: Show, names: Sequence[str], about: About, pictures: Pictures) -> None:
        """`pictures` are drawn once, when the record is opened; a MocoError from it costs the pictures only."""
        self._show, self._about, self._pictures = show, about, pictures
        self._names = list(dict.fromkeys(names))
        self._apart: list[Apart] = []
        self._step = 0
        self._temporary: Path | None = None

    def row(self, row: Row, step: int, steps: int, seconds_left: float | None) -> None:
        """Show a row, and hand it to the loggers."""
        self._show.row(row, step, steps, seconds_left)
        self._step = step
        if self._names and not self._apart:
            self._open()
        copy = dict(row)
        for one in self._apart:
            one.put(lambda logger: logger.row(copy))

    def note(self, text: str) -> None:
        """Pass a line on."""
        self._show.note(text)

    def picture(self, name: str, image: Image.Image) -> None:
        """Write a picture into the loggers."""
        if not self._apart:
            return
        self._temporary = self._temporary or Path(tempfile.mkdtemp(prefix="moco-log-"))
        path = self._temporary / f"{name}-{self._step:09d}.png"
        image.save(path)
        for one in self._apart:
            one.put(partial(_picture, name=name, path=path, step=self._step))

    def page(self, path: Path) -> None:
        """Write the report into the loggers that show pages."""
        for one in self._apart:
            one.put(lambda logger: logger.page(path))

    def close(self, ending: Ending) -> None:
        """End the records of this sitting."""
        for one in self._apart:
            one.end(ending)
        until = time.monotonic() + (CLOSING if ending == "finished" else STOPPING)
        for one in self._apart:
            one.leave(max(0.0, until - time.monotonic()))
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _open(self) -> None:
        self._apart = [Apart(name, partial(open_logger, name, self._about), self._show.note) for name in self._names]
        for one in self._apart:
            one.wait(OPENING)
        try:
            for name, image in self._pictures().items():
                self.picture(name, image)
        except (MocoError, OSError) as error:
            self._show.note(f"no pictures in {', '.join(self._names)}: {error}")


@contextmanager
def followed(show: Show, names: Sequence[str], about: About, pictures: Pictures) -> Iterator[Followed]:
    """The same for a while; the records end as the run does: finished, stopped or failed."""
    one = Followed(show, names, about, pictures)
    try:
        yield one
    except Stopped:
        one.close("stopped")
        raise
    except BaseException:
        one.close("failed")
        raise
    one.close("finished")


def _picture(logger: Logger, name: str, path: Path, step: int) -> None:
    logger.picture(name, path, step)
