"""The real loggers, offline: a run that goes on continues its record; recipe, rows, pictures and report are in it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from moco.commands.pretrain import pretrain
from moco.machine import Machine
from moco.recipe import override, v2

SMALL = {
    "encoder.backbone": "resnet10w8",
    "encoder.stem": "small",
    "image_size": 16,
    "batch": 32,
    "epochs": 2,
    "dictionary.size": 64,
}
STEPS = 30


class Notes:
    """Keeps what is noted."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def row(self, *row):
        pass

    def choices(self, choices):
        pass

    def reading(self, what, total):
        return lambda done: None

    def results(self, result):
        pass


def train(digits_file, out, name, until=None):
    tell = Notes()
    machine = Machine(device="cpu", precision="fp32", threads=1, workers=0, compile="off")
    pretrain(digits_file, out, override(v2(), SMALL), machine=machine, tell=tell, log=[name], until=until)
    return tell.notes


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """No settings of whoever runs the tests."""
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))


def kept(out, name):
    return json.loads((out / "loggers" / f"{name}.json").read_text())


def losses(out):
    lines = (out / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if '"loss"' in line]


def test_mlflow_in_a_store_of_files(digits_file, tmp_path):
    pytest.importorskip("mlflow")
    out = tmp_path / "runs" / "one"
    said = [*train(digits_file, out, "mlflow", until=1), *train(digits_file, out, "mlflow")]
    store = tmp_path / "runs" / "mlruns"
    where = f"mlflow: in {store}; MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {store} shows it"
    assert [line for line in said if line.startswith("mlflow")] == [where] * 2
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=store.as_uri())
    experiment = client.get_experiment_by_name("moco")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == kept(out, "mlflow")["id"]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "one")
    assert run.data.params["encoder.backbone"] == "resnet10w8"
    assert run.data.params["loss.temperature"] == "0.2"
    assert run.data.tags["health"]
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    for name in ("loss", "rank"):
        history = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
        assert history == [(row["step"], row[name]) for row in rows if name in row]
    assert history[-1][0] == STEPS
    files = {Path(f.path).name for f in client.list_artifacts(run.info.run_id, "pictures")}
    assert {f.partition("-")[0] for f in files} == {"views", "neighbours"}
    assert "report.html" in {f.path for f in client.list_artifacts(run.info.run_id)}


def test_wandb_offline(digits_file, tmp_path):
    pytest.importorskip("wandb")
    out = tmp_path / "one"
    said = [*train(digits_file, out, "wandb", until=1), *train(digits_file, out, "wandb")]
    told = [line for line in said if line.startswith("wandb:")]
    assert len(told) == 2
    assert all(line.startswith(f"wandb: offline in {out / 'wandb'}/offline-run-") for line in told)
    identity = kept(out, "wandb")["id"]
    files = sorted(out.glob("wandb/offline-run-*/*.wandb"))
    assert [f.name for f in files] == [f"run-{identity}.wandb"] * 2, "two sittings, one record"
    first, second = (f.read_bytes() for f in files)
    for words in (b"images_per_second", b"encoder.backbone", b"resnet10w8", b"views"):
        assert words in first
    assert b"neighbours" in second
    pictures = {p.name.partition("_")[0] for p in out.glob("wandb/offline-run-*/files/media/*/*")}
    assert pictures == {"views", "neighbours", "report"}


def test_trackio_on_this_machine(digits_file, tmp_path):
    trackio = pytest.importorskip("trackio", reason="trackio is missing: pip install trackio")
    out = tmp_path / "one"
    train(digits_file, out, "trackio", until=1)
    train(digits_file, out, "trackio")
    name = kept(out, "trackio")["id"]
    assert name.startswith("one-")
    api = trackio.Api()
    (run,) = api.runs("moco")
    assert run.name == name
    assert run.config["encoder.backbone"] == "resnet10w8"
    with closing(sqlite3.connect(tmp_path / "trackio" / "moco.db")) as store:
        rows = store.execute("select step, metrics from metrics where run_name = ?", (name,)).fetchall()
    assert max(step for step, _ in rows) == STEPS
    assert sum('"loss"' in str(metrics) for _, metrics in rows) == len(losses(out))
    assert sum('"neighbours"' in str(metrics) for _, metrics in rows) == 1
