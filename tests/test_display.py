"""What a person sees: a line now and then, no flood, and no end of a run because nobody reads any more."""

import io
import os
import re

import pytest
from rich.console import Console

from moco import display
from moco.display import Outlet, Terminal
from moco.protocols.result import Cell, Result
from moco.recipe.auto import Choice


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told to."""
    now = [1000.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    return now


def plain():
    console = Console(file=io.StringIO(), width=200, highlight=False)
    return Terminal(console), lambda: console.file.getvalue().splitlines()


def scores(epoch, **more):
    return {"step": 3 * epoch, "epoch": epoch, "rank": 2.5, **more}


def training(step, health="normal: learning"):
    return {
        "step": step, "epoch": 1, "loss": 2.0, "chance": 4.0, "accuracy": 0.5, "images_per_second": 10.0,
        "data_wait": 0.25, "memory_gib": 1.0, "health": health, "level": "normal",
    }  # fmt: skip


def test_scores_of_short_epochs_are_one_line_in_ten_seconds_and_the_last_is_always_told(clock):
    tell, lines = plain()
    for epoch in range(101):
        tell.row(scores(epoch), 3 * epoch, 300, None)
        clock[0] += 1
    said = lines()
    assert said[0] == "before training: effective rank 2.5"
    assert said[-1].startswith("after epoch 100:")
    assert len(said) == 11


def test_knn_is_never_left_out(clock):
    tell, lines = plain()
    for epoch in range(1, 6):
        tell.row({"step": 3 * epoch, "epoch": epoch, "knn": 0.5}, 3 * epoch, 300, None)
    assert lines() == [f"after epoch {e}: kNN 50.0%" for e in range(1, 6)]


def test_steps_are_told_at_the_start_at_the_end_and_every_ten_seconds(clock):
    tell, lines = plain()
    for step in range(1, 41):
        tell.row(training(step), step, 40, 30.0)
        clock[0] += 1
    steps = [line.split(",")[0] for line in lines() if line.startswith("step")]
    assert steps == ["step 1/40", "step 12/40", "step 23/40", "step 34/40", "step 40/40"]
    assert "loss 2.000 (chance 4.00), contrast accuracy 50%" in lines()[0]
    assert "waiting for data 25%, 1.0 GiB, 30 s left" in lines()[0]


def test_a_health_sentence_is_told_when_it_changes_in_more_than_its_numbers(clock):
    tell, lines = plain()
    for step, health in enumerate(["normal: filling (10%); wait", "normal: filling (20%); wait", "collapsing: x"], 1):
        tell.row(training(step, health), step, 40, None)
    assert [line for line in lines() if not line.startswith("step")] == ["normal: filling (10%); wait", "collapsing: x"]


def test_choices_are_a_line_each_with_their_reason():
    tell, lines = plain()
    tell.choices([Choice("--batch", "4", "few"), Choice("--image-size", "32", "small")])
    assert lines()[1:] == ["  --batch 4        few", "  --image-size 32  small"]


def narrow():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, highlight=False, color_system=None)
    return Terminal(console), lambda: [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_in_a_narrow_terminal_a_long_reason_goes_on_below_itself():
    tell, lines = narrow()
    tell.choices([Choice("--image-size", "32", "a reason of many words " * 4), Choice("--batch", "4", "few")])
    assert lines()[1].startswith("  --image-size 32  a reason")
    assert lines()[2].startswith(" " * 19 + "many words")
    assert lines()[-1] == "  --batch 4        few"


def test_a_count_that_ends_early_is_not_written_over():
    tell, lines = narrow()
    tell.reading("reading images", 2022)(1792)
    tell.note("time: 60 s")
    assert lines() == ["reading images 1,792 / 2,022", "time: 60 s"]


def test_columns_of_words_are_to_the_left_and_numbers_to_the_right():
    tell, lines = plain()
    tell.table("", ["run", "state", "step"], [["a", "dead", "5/100"], ["b", "finished", "100/100"]])
    assert [line.split("│")[2:4] for line in lines()[3:5]] == [
        [" dead     ", "   5/100 "],
        [" finished ", " 100/100 "],
    ]


def test_square_brackets_in_names_are_not_markup():
    tell, lines = plain()
    tell.note("folder [red]cats[/red]")
    assert lines() == ["folder [red]cats[/red]"]


def test_results_are_a_table_with_spreads_intervals_and_what_must_be_known():
    tell, lines = plain()
    rows = {"MoCo [red]": [Cell(0.5, 0.012, (0.4, 0.61)), Cell(12.345)], "pixels": [Cell(0.25), Cell(1.0)]}
    tell.results(
        Result(
            protocol="knn", data="x", title="kNN", columns=["accuracy", "rank"], rows=rows, settings={},
            formats=["share", "number"], interval="of 95 %", note="a quick look",
        )
    )  # fmt: skip
    text = "\n".join(lines())
    for words in (
        "MoCo [red]",
        "50.0% ± 1.2",
        "40.0 to 61.0",
        "12.3",
        "25.0%",
        "second line: of 95 %",
        "a quick look",
    ):
        assert words in text


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


@pytest.mark.parametrize("stream", [closed_pipe, lambda: open("/dev/full", "w")], ids=["pipe", "full disk"])  # noqa: PTH123, SIM115
def test_a_closed_output_is_said_once_on_stderr_and_ends_nothing(stream, capsys):
    with stream() as file:
        tell = Terminal(Console(file=Outlet(file, "the run goes on")))
        for i in range(2000):
            tell.note(f"line {i}")
    said = capsys.readouterr().err
    assert said.count("moco: nothing is shown any more") == 1
    assert said.endswith("the run goes on\n")


def test_an_open_output_gets_every_line(tmp_path):
    with (tmp_path / "out.txt").open("w") as file:
        tell = Terminal(Console(file=Outlet(file, "the run goes on")))
        for i in range(3):
            tell.note(f"line {i}")
    assert (tmp_path / "out.txt").read_text() == "line 0\nline 1\nline 2\n"


def test_in_a_terminal_of_80_columns_no_line_is_longer_and_no_number_is_cut(clock):
    file = io.StringIO()
    tell = Terminal(Console(file=file, width=80, height=24, force_terminal=True, highlight=False, color_system=None))
    tell.note("a long line about the images, " * 6)
    tell.row(
        training(1, "normal: learning; a query finds its key among 65,537 in 50% of cases (loss 6.93)"), 1, 2000, 9e4
    )
    tell.close()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", file.getvalue())]
    assert max(len(line.rstrip()) for line in lines) <= 80
    text = " ".join(" ".join(lines).split())
    for words in ("loss 2.000 (chance 4.00), contrast accuracy 50%, 10 images/s, waiting for data 25%, 1.0 GiB",
                  "25.0 h left", "1/2000", "(loss 6.93)"):  # fmt: skip
        assert words in text
