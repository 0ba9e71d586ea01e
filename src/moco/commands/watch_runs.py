"""`moco watch`: a live page of all runs in a folder, read from their logs as they grow."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from moco.commands.overview import Overview, as_row
from moco.commands.tell import Silent, Teller
from moco.errors import MocoError
from moco.loopback import NOT_FOUND, Answer, Asked, Loopback
from moco.pages.live import POLICY, SCRIPTS, details, small_curve, watch_html
from moco.pages.style import script
from moco.run.log import readable_rows

PORT = 5070
_BETWEEN = 1.0
"""Seconds between two looks, however many pages ask."""

_JSON = "application/json"


def watch_runs(folder: Path, port: int = PORT, tell: Teller | None = None) -> None:
    """Serve the page on the loopback address until Ctrl-C; raises MocoError for what is no folder."""
    tell = tell or Silent()
    server = Loopback(Watch(Overview(folder)), port)
    if server.taken:
        tell.note(f"port {port} is in use; this is on {server.port}")
    tell.note(f"{server.address} shows the runs in {folder}, to this machine alone; Ctrl-C stops it")
    server.serve()


@dataclass
class Watch:
    """The answers of the page: which runs have changed since it asked last, and one of them closely."""

    overview: Overview
    _lock: Lock = field(default_factory=Lock)
    _looked: float = -1e9
    _version: int = 0
    _runs: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    _gone: dict[str, int] = field(default_factory=dict)

    def __call__(self, asked: Asked) -> Answer:
        """One answer."""
        if asked.body is not None:
            return NOT_FOUND
        match asked.path:
            case "/":
                return Answer(watch_html(str(self.overview.folder)).encode(), "text/html; charset=utf-8", policy=POLICY)
            case "/runs.json":
                since = asked.query.get("since", "0")
                return Answer(json.dumps(self.changed(int(since) if since.isdecimal() else 0)).encode(), _JSON)
            case "/run.json":
                return self._closely(asked.query.get("run", ""))
            case path if path[1:] in SCRIPTS:
                return Answer(script(path[1:]), "text/javascript; charset=utf-8")
            case _:
                return NOT_FOUND

    def changed(self, since: int) -> dict[str, Any]:
        """Runs that differ from what they were at version `since`, runs that have gone, and the version now."""
        with self._lock:
            if time.monotonic() - self._looked > _BETWEEN:
                self._look()
                self._looked = time.monotonic()
            return {
                "version": self._version,
                "total": len(self._runs),
                "runs": [run for version, run in self._runs.values() if version > since],
                "gone": [name for name, version in self._gone.items() if version > since],
            }

    def _look(self) -> None:
        version, now = self._version + 1, {line.run: as_row(line) for line in self.overview.look()}
        for name, run in now.items():
            tail = self.overview.tail(name)
            run["curve"] = small_curve([loss for _, loss in tail.losses]) if tail else []
            if (before := self._runs.get(name)) is None or before[1] != run:
                self._runs[name] = (version, run)
                self._gone.pop(name, None)
                self._version = version
        for name in self._runs.keys() - now.keys():
            del self._runs[name]
            self._gone[name] = self._version = version

    def _closely(self, name: str) -> Answer:
        with self._lock:
            tail = self.overview.tail(name)
        if tail is None:
            return NOT_FOUND
        try:
            return Answer(details(readable_rows(tail.path)[0], tail.lines), _JSON)
        except MocoError as error:
            return Answer(details([], [str(error)]), _JSON)
