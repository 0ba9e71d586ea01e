"""trackio: on this machine, or where TRACKIO_SPACE_ID or TRACKIO_SERVER_URL says."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from moco.loggers.logger import PROJECT, About, Ending, Logger, numbers
from moco.run.log import Row


def open_trackio(about: About) -> Logger:
    """Begin a record, or go on with the one of this run. Raises whatever trackio raises."""
    return _Trackio(about)


class _Trackio:
    """A record is found again by its name, so that has an ending of its own: folders of one name are not one run."""

    def __init__(self, about: About) -> None:
        import trackio

        kept = about.kept("trackio")
        self._project = kept.get("project", PROJECT)
        self._name = kept.get("id") or f"{about.name}-{secrets.token_hex(2)}"
        about.keep("trackio", {"id": self._name, "project": self._project})
        self._trackio: Any = trackio
        self._run = trackio.init(
            project=self._project,
            name=self._name,
            resume="allow",
            config={k: v if isinstance(v, int | float | None) else str(v) for k, v in about.settings.items()},
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )

    @property
    def where(self) -> str:
        return f"as {self._name}; trackio show --project {self._project} shows it"

    def row(self, row: Row) -> None:
        self._run.log(numbers(row), step=row["step"])

    def picture(self, name: str, path: Path, step: int) -> None:
        self._run.log({name: self._trackio.Image(path)}, step=step)

    def page(self, path: Path) -> None:
        """Nothing: trackio shows no pages; the run has it."""

    def close(self, ending: Ending) -> None:
        self._run.finish()
