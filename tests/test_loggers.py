"""Loggers get every row, picture and page in order, apart from the training, which none of them can stop or delay."""

import threading
import time
from importlib.util import find_spec

import pytest
from PIL import Image

from moco.errors import MocoError
from moco.loggers import apart, followed
from moco.loggers.logger import About, numbers
from moco.loggers.table import LOGGERS, open_logger, refuse_unknown_or_missing
from moco.run.stop import Stopped

ROW = {"step": 3, "epoch": 1, "loss": 2.5, "m": None, "health": "normal: learning", "level": "normal"}


class Told:
    """Who is shown the rows."""

    def __init__(self):
        self.rows, self.notes = [], []

    def row(self, row, step, steps, seconds_left):
        self.rows.append(row)

    def note(self, text):
        self.notes.append(text)


class Kept:
    """A logger that keeps what it gets, or does what `row` says instead."""

    def __init__(self, do=None):
        self.got, self._do, self.where = [], do, "nowhere"

    def row(self, row):
        if self._do is not None:
            self._do()
        self.got.append(("row", row["step"], threading.current_thread().name))

    def picture(self, name, path, step):
        with Image.open(path) as image:
            self.got.append(("picture", name, image.size, step))

    def page(self, path):
        self.got.append(("page", path))

    def close(self, ending):
        self.got.append(("close", ending))


@pytest.fixture
def loggers(monkeypatch):
    """Loggers by name, in place of real ones."""
    there = {}
    monkeypatch.setattr(followed, "open_logger", lambda name, about: there[name])
    return there


def follow(names, told, tmp_path, pictures=dict):
    return followed.followed(told, names, About(tmp_path / "run", {}), pictures)


def raised(error):
    def do():
        raise error

    return do


def run_into(error, tmp_path):
    with follow(["a"], Told(), tmp_path) as one:
        one.row(row(1), 1, 1, None)
        raise error


def row(step):
    return ROW | {"step": step}


def test_each_logger_gets_rows_pictures_and_page_in_order_and_from_its_own_thread(loggers, tmp_path):
    loggers |= {"a": Kept(), "b": Kept()}
    told = Told()
    with follow(["a", "b"], told, tmp_path, lambda: {"views": Image.new("RGB", (4, 5))}) as one:
        for step in range(1, 4):
            one.row(row(step), step, 3, None)
        one.picture("neighbours", Image.new("RGB", (6, 7)))
        one.page(tmp_path / "report.html")
    for name in "ab":
        assert loggers[name].got == [
            ("picture", "views", (4, 5), 1),
            *(("row", step, f"log {name}") for step in range(1, 4)),
            ("picture", "neighbours", (6, 7), 3),
            ("page", tmp_path / "report.html"),
            ("close", "finished"),
        ]
    assert [r["step"] for r in told.rows] == [1, 2, 3]
    assert sorted(told.notes) == ["a: nowhere", "b: nowhere"]


def test_a_run_without_a_row_opens_no_record(loggers, tmp_path):
    told = Told()
    with follow(["a"], told, tmp_path):
        pass
    assert told.notes == []


def test_a_logger_that_fails_is_told_once_and_the_others_go_on(loggers, tmp_path):
    loggers |= {"a": Kept(raised(OSError("no route\nto host"))), "b": Kept()}
    told = Told()
    with follow(["a", "b"], told, tmp_path) as one:
        for step in range(1, 4):
            one.row(row(step), step, 3, None)
    assert [n for n in told.notes if n.startswith("a is")] == [
        "a is not written any more (OSError: no route); the run goes on, and log.jsonl has everything"
    ]
    assert len(loggers["b"].got) == 4


@pytest.mark.parametrize("error", [RuntimeError(""), SystemExit(1), KeyError("x")])
def test_a_logger_that_cannot_be_opened_is_told_once(error, monkeypatch, tmp_path):
    def fails(name, about):
        raise error

    monkeypatch.setattr(followed, "open_logger", fails)
    told = Told()
    with follow(["a"], told, tmp_path) as one:
        one.row(row(1), 1, 1, None)
        one.row(row(2), 1, 1, None)
    assert len(told.notes) == 1
    assert type(error).__name__ in told.notes[0]
    assert len(told.rows) == 2


def test_a_logger_that_hangs_delays_no_row_and_is_left_behind(loggers, tmp_path, monkeypatch):
    free = threading.Event()
    loggers["a"] = Kept(free.wait)
    monkeypatch.setattr(followed, "CLOSING", 0.1)
    told = Told()
    began = time.monotonic()
    with follow(["a"], told, tmp_path) as one:
        for step in range(1, 100):
            one.row(row(step), step, 100, None)
    assert time.monotonic() - began < 5
    assert told.notes[-1] == "a has not taken everything after 0 s and is left behind; log.jsonl has everything"
    free.set()


def test_one_that_is_not_open_yet_delays_the_end_by_nothing(monkeypatch, tmp_path):
    free = threading.Event()
    monkeypatch.setattr(followed, "open_logger", lambda name, about: free.wait())
    monkeypatch.setattr(followed, "OPENING", 0.05)
    told = Told()
    began = time.monotonic()
    with follow(["a"], told, tmp_path) as one:
        one.row(row(1), 1, 1, None)
    assert time.monotonic() - began < 5
    assert told.notes == ["a could not be reached and is left behind; log.jsonl has everything"]
    free.set()


def test_rows_beyond_what_is_held_for_a_slow_logger_are_counted(loggers, tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "MOST_HELD", 3)
    free = threading.Event()
    loggers["a"] = Kept(free.wait)
    told = Told()
    with follow(["a"], told, tmp_path) as one:
        for step in range(1, 21):
            one.row(row(step), step, 20, None)
        free.set()
        time.sleep(0.2)
    assert "rows are left out of it" in told.notes[-1]
    assert len([g for g in loggers["a"].got if g[0] == "row"]) < 20


def test_a_record_ends_as_its_run_does(loggers, tmp_path):
    for error, ending in ((Stopped(3, 2), "stopped"), (MocoError("x"), "failed")):
        loggers["a"] = Kept()
        with pytest.raises(type(error)):
            run_into(error, tmp_path)
        assert loggers["a"].got[-1] == ("close", ending)


def test_pictures_that_cannot_be_drawn_cost_only_the_pictures(loggers, tmp_path):
    loggers["a"] = Kept()
    told = Told()
    with follow(["a"], told, tmp_path, raised(MocoError("no image"))) as one:
        one.row(row(1), 1, 1, None)
    assert "no pictures in a: no image" in told.notes
    assert [g[0] for g in loggers["a"].got] == ["row", "close"]


def test_only_finite_numbers_are_numbers():
    given = ROW | {"bad": float("nan"), "worse": float("inf"), "yes": True, "k": 20}
    assert numbers(given) == {"epoch": 1.0, "loss": 2.5, "k": 20.0}


def test_an_unknown_logger_and_one_that_is_missing_are_sentences(monkeypatch):
    with pytest.raises(MocoError, match="--log tensorflow: there is no such logger; they are mlflow, trackio, wandb"):
        refuse_unknown_or_missing(["tensorflow"])
    monkeypatch.setitem(LOGGERS, "no_such_library", "x:y")
    with pytest.raises(MocoError, match=r"pip install .momentum-contrast\[no_such_library\]."):
        refuse_unknown_or_missing(["no_such_library"])


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"id": 3}', '{"project": "x"}'])
def test_a_damaged_note_of_a_record_begins_a_new_one(text, tmp_path):
    about = About(tmp_path, {})
    assert about.kept("wandb") == {}
    about.keep("wandb", {"id": "x"})
    assert about.kept("wandb") == {"id": "x"}
    (tmp_path / "loggers" / "wandb.json").write_text(text)
    assert about.kept("wandb") == {}


@pytest.mark.parametrize("name", LOGGERS)
def test_every_logger_is_opened_where_it_is_installed(name, tmp_path, monkeypatch):
    """The table leads to functions that open; test_loggers_real.py follows whole runs."""
    if find_spec(name) is None:  # importing it would settle where it writes, before test_loggers_real.py says
        pytest.skip(f"{name} is missing: pip install {name}")
    module, function = LOGGERS[name].split(":")
    opened = []
    monkeypatch.setattr(f"{module}.{function}", opened.append)
    about = About(tmp_path, {})
    open_logger(name, about)
    assert opened == [about]
