"""MLflow: where MLFLOW_TRACKING_URI says, else a store of files beside the run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from moco.loggers.logger import PROJECT, About, Ending, Logger, numbers
from moco.run.log import Row

_STATUS: dict[Ending, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_LONGEST = 6000
"""Characters of a parameter that MLflow takes."""


def open_mlflow(about: About) -> Logger:
    """Begin a record, or go on with the one of this run. Raises whatever MLflow raises."""
    return _MLflow(about)


class _MLflow:
    def __init__(self, about: About) -> None:
        kept = about.kept("mlflow")
        beside = (about.folder.resolve().parent / "mlruns").as_uri()
        self._uri = kept.get("uri") or os.environ.get("MLFLOW_TRACKING_URI") or beside
        if self._uri.startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions ask whether it is meant
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        self._metric: Any = Metric
        self._client = MlflowClient(tracking_uri=self._uri)
        if kept:
            self._id = kept["id"]
            self._client.update_run(self._id, status="RUNNING")
            return
        self._id = self._client.create_run(self._experiment(), run_name=about.name).info.run_id
        about.keep("mlflow", {"id": self._id, "uri": self._uri})
        self._client.log_batch(
            self._id, params=[Param(k, str(v)[:_LONGEST] or "(empty)") for k, v in about.settings.items()]
        )

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found is not None else self._client.create_experiment(name))

    @property
    def where(self) -> str:
        at = self._uri.removeprefix("file://")
        allow = "MLFLOW_ALLOW_FILE_STORE=true " if self._uri.startswith("file:") else ""
        shown = self._uri.startswith(("http:", "https:"))
        return f"at {at}" if shown else f"in {at}; {allow}mlflow ui --backend-store-uri {at} shows it"

    def row(self, row: Row) -> None:
        now = int(time.time() * 1000)
        found = [self._metric(name, value, now, row["step"]) for name, value in numbers(row).items()]
        self._client.log_batch(self._id, metrics=found)
        if "health" in row:
            self._client.set_tag(self._id, "health", row["health"])

    def picture(self, name: str, path: Path, step: int) -> None:
        self._client.log_artifact(self._id, str(path), "pictures")

    def page(self, path: Path) -> None:
        self._client.log_artifact(self._id, str(path))

    def close(self, ending: Ending) -> None:
        self._client.set_terminated(self._id, _STATUS[ending])
