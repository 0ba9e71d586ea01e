"""The loggers there are, by the name that --log takes. A logger is a file here and a line in the table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from moco.errors import MocoError
from moco.loggers.logger import About, Logger, missing

LOGGERS = {
    "mlflow": "moco.loggers.mlflow:open_mlflow",
    "trackio": "moco.loggers.trackio:open_trackio",
    "wandb": "moco.loggers.wandb:open_wandb",
}


def refuse_unknown_or_missing(names: Sequence[str]) -> None:
    """Raise MocoError for a logger that there is not, or that is not installed; imports none."""
    for name in names:
        if name not in LOGGERS:
            raise MocoError(f"--log {name}: there is no such logger; they are {', '.join(LOGGERS)}")
        if find_spec(name) is None:
            raise missing(name)


def open_logger(name: str, about: About) -> Logger:
    """Open the record of a run in this logger. Raises whatever its library raises."""
    module, function = LOGGERS[name].split(":")
    return cast("Logger", getattr(import_module(module), function)(about))
