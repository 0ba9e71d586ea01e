"""Weights & Biases: its own settings hold (WANDB_PROJECT, WANDB_MODE, ...); without a key it writes offline."""

from __future__ import annotations

import contextlib
import netrc
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from moco.loggers.logger import PROJECT, About, Ending, Logger, numbers
from moco.run.log import Row


def open_wandb(about: About) -> Logger:
    """Begin a record, or go on with the one of this run. Raises whatever wandb raises."""
    return _WeightsAndBiases(about)


class _WeightsAndBiases:
    def __init__(self, about: About) -> None:
        import wandb

        kept = about.kept("wandb")
        project = kept.get("project") or os.environ.get("WANDB_PROJECT", PROJECT)
        identity = kept.get("id") or secrets.token_hex(4)
        self._offline = "WANDB_MODE" not in os.environ and not _has_key()
        more: dict[str, Any] = {"mode": "offline"} if self._offline else {}
        if "WANDB_DIR" not in os.environ:
            more["dir"] = str(about.folder)
        about.keep("wandb", {"id": identity, "project": project})
        self._wandb = wandb
        self._run = wandb.init(
            id=identity,
            project=project,
            name=about.name,
            resume="allow",
            config=about.settings,
            settings=wandb.Settings(silent=True, console="off", init_timeout=60),
            **more,
        )
        self._offline = bool(self._run.offline)
        self._run.define_metric("*", step_metric="step")  # a run that goes on may write a step again

    @property
    def where(self) -> str:
        if not self._offline:
            return f"at {self._run.url}"
        folder = Path(self._run.dir).parent
        return f"offline in {folder}; wandb sync {folder} sends it"

    def row(self, row: Row) -> None:
        self._run.log({"step": row["step"], **numbers(row)})
        if "health" in row:
            self._run.summary["health"] = row["health"]

    def picture(self, name: str, path: Path, step: int) -> None:
        from PIL import Image

        with Image.open(path) as image:
            self._run.log({"step": step, name: self._wandb.Image(image.convert("RGB"))})

    def page(self, path: Path) -> None:
        self._run.log({"report": self._wandb.Html(path.read_text(encoding="utf-8"), inject=False)})

    def close(self, ending: Ending) -> None:
        self._run.finish(exit_code=0 if ending == "finished" else 1)


def _has_key() -> bool:
    """Whether wandb finds a key without asking for one, which would keep a run from starting."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    return False
