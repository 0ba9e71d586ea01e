"""`auto` measures, chooses, writes down what it found, and does none of it again when the run goes on."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

from moco.auto.plan import Rate
from moco.auto.views import Course, Searched
from moco.commands import pretrain as command
from moco.commands.ask import Ask, goes_on
from moco.commands.fit import UNTRIED, _Fit
from moco.commands.pretrain import pretrain
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import VIEWS, from_json, v2
from moco.recipe.auto import LADDER
from moco.recipe.views import UNTURNED
from moco.run.stop import Stopped

CPU = Machine(device="cpu", precision="fp32", threads=1, workers=1, log_every=1)


class Heard:
    def __init__(self, stop_at=None):
        self.notes, self.chosen, self._stop_at = [], [], stop_at

    def note(self, text):
        self.notes.append(text)

    def choices(self, choices):
        self.chosen += choices

    def reading(self, what, total):
        return lambda done: None

    def row(self, row, step, steps, seconds_left):
        if step == self._stop_at:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)

    def results(self, result):
        pass


@pytest.fixture(scope="module")
def stopped(digits, tmp_path_factory, hears_ctrl_c):
    """A run of auto with a time, stopped after a few steps: its folder, its images, and what was said.

    It measures and searches as a run of a minute would, and has four: on a busy machine that has compiled nothing yet,
    what is compiled before the first step can take most of one.
    """
    folder = tmp_path_factory.mktemp("fit")
    np.save(folder / "x.npy", digits[0][:200])
    heard = Heard(stop_at=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moco.auto.plan.MOST_PASSES", 8)
        patch.setattr("moco.auto.budget.SEARCH", 0.03)
        patch.setattr("moco.commands.fit.MEASURING", 0.0025)
        with pytest.raises(Stopped):
            pretrain(folder / "x.npy", folder / "run", time="4m", machine=CPU, tell=heard)
    return folder, heard


def test_what_was_chosen_is_said_with_its_reason_and_written_down(stopped):
    folder, heard = stopped
    recipe = from_json((folder / "run" / "recipe.json").read_text())
    taken = recipe.encoder.backbone, recipe.encoder.stem, recipe.image_size
    assert taken in {(n.backbone, n.stem, n.size) for n in LADDER if n.size == 32}, "as many as this machine trains"
    assert recipe.epochs is None
    assert 0 < (recipe.steps or 0) <= 8 * 200 // recipe.batch, "of a machine that is busy, fewer"
    flags = {choice.flag: choice for choice in heard.chosen}
    assert "4 min" in flags["--steps"].reason
    assert "images/s" in flags["--image-size"].reason
    assert any("as asked" in note for note in heard.notes)
    assert any(note.startswith("expected end: ") for note in heard.notes)
    record = json.loads((folder / "run" / "auto.json").read_text())
    assert record["asked"] == {"time": "4m"}
    assert record["rates"][0]["measured"]
    assert recipe.query_view == VIEWS[record["views"]["views"] if record["views"] else UNTRIED]
    if record["views"]:
        assert {one["views"] for one in record["views"]["tried"]} <= set(VIEWS)
        assert flags["--views"].value == record["views"]["views"]


def test_the_rate_that_the_plan_is_made_by_is_that_of_the_views_the_run_will_have(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8))
    measured = []

    def seconds(trial, *_):
        measured.append(trial.recipe.query_view)
        return 0.001

    monkeypatch.setattr("moco.auto.plan.MOST_PASSES", 1)
    monkeypatch.setattr("moco.commands.fit.seconds_an_image", seconds)
    monkeypatch.setattr("moco.commands.fit.longest", lambda candidates, *_: Course(candidates, (20, 60)))
    monkeypatch.setattr("moco.commands.fit._Fit._without_up_and_down", lambda *_: "")
    monkeypatch.setattr("moco.commands.fit.search", lambda *_: Searched("photos", [], 0.1))
    pretrain(tmp_path / "x.npy", tmp_path / "run", time="60s", machine=CPU, tell=Heard())
    assert measured[0] == VIEWS[UNTRIED]
    assert measured[-1] == VIEWS["photos"]


@pytest.mark.parametrize(("told", "rate"), [(0.001, 0.003), (10.0, 10.0)], ids=["measured", "too slow to measure"])
def test_where_images_are_read_as_the_run_goes_the_rate_is_that_of_reading_and_computing_together(
    tmp_path, monkeypatch, told, rate
):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8))
    monkeypatch.setattr("moco.auto.plan.MOST_PASSES", 1)
    monkeypatch.setattr("moco.commands.fit.seconds_an_image", lambda *_: told)
    monkeypatch.setattr("moco.auto.rates.seconds_an_image_read", lambda *_: 0.003)
    machine = Machine(device="cpu", precision="fp32", threads=1, workers=1, memory_gib=0)
    began = time.monotonic() - 30
    pretrain(tmp_path / "x.npy", tmp_path / "run", time="60s", views="near", machine=machine, tell=Heard(), began=began)
    record = json.loads((tmp_path / "run" / "auto.json").read_text())
    assert record["rates"][0]["seconds"] == rate
    assert record["spent"] > 30, "half a minute has gone by before the call"


def test_a_network_whose_views_are_smaller_than_the_small_crops_that_ask_is_not_taken(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), dtype=np.uint8))
    monkeypatch.setattr("moco.auto.plan.MOST_PASSES", 1)
    monkeypatch.setattr("moco.commands.fit.seconds_an_image", lambda *_: 0.01)
    changes = {"queries.small": 1, "queries.small_size": 48}
    pretrain(
        tmp_path / "x.npy",
        tmp_path / "run",
        time="60s",
        views="near",
        machine=CPU,
        tell=Heard(),
        changes=changes,
        until=1,
    )
    assert from_json((tmp_path / "run" / "recipe.json").read_text()).image_size == 64
    with pytest.raises(MocoError, match=r"--queries\.small-size 80: no larger than the smallest"):
        pretrain(
            tmp_path / "x.npy", tmp_path / "other", time="60s", machine=CPU, tell=Heard(),
            changes=changes | {"queries.small_size": 80},
        )  # fmt: skip


def test_sizes_that_grow_need_a_length_that_is_no_time(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(MocoError, match="say how long the run is with --epochs or --steps"):
        pretrain(tmp_path / "x.npy", tmp_path / "run", machine=CPU, tell=Heard(), changes={"first_sizes": (16,)})


def test_what_reading_adds_to_a_network_it_adds_to_all():
    asked = Rate(LADDER[0], 0.001, True), Rate(LADDER[1], 0.002, True)
    one = SimpleNamespace(
        _likely=lambda found: found[1],
        _measure=lambda *_: 0.003,
        _while_reading=lambda *_: 0.004,
        _untried="near",
    )
    again = _Fit._again(one, list(asked), "photos")
    assert [rate.seconds for rate in again] == pytest.approx([0.002, 0.004])


def test_images_whose_turns_only_a_fringe_of_colour_tells_get_views_that_turn_them_without_a_search(
    tmp_path, monkeypatch
):
    images = np.random.default_rng(0).integers(100, 156, (64, 32, 32, 1), dtype=np.uint8).repeat(3, axis=3)
    images[:, :, :6, 0] += 60
    images[:, :, :6, 1:] -= 30
    np.save(tmp_path / "x.npy", images)
    monkeypatch.setattr("moco.auto.plan.MOST_PASSES", 1)
    monkeypatch.setattr("moco.commands.fit.longest", lambda candidates, *_: Course(candidates, (20, 60)))
    monkeypatch.setattr("moco.commands.fit.search", lambda *_: pytest.fail("searched"))
    heard = Heard()
    pretrain(tmp_path / "x.npy", tmp_path / "run", time="60s", machine=CPU, tell=heard)
    chosen = next(choice for choice in heard.chosen if choice.flag == "--views")
    assert (chosen.value, "no up and down" in chosen.reason) == (UNTURNED, True)
    record = json.loads((tmp_path / "run" / "auto.json").read_text())["views"]
    assert (record["views"], record["why"], record["tried"]) == (UNTURNED, chosen.reason, [])
    assert from_json((tmp_path / "run" / "recipe.json").read_text()).query_view.turn > 0


def test_the_same_command_goes_on_and_measures_nothing(stopped, monkeypatch):
    folder, _ = stopped

    def refuse(*arguments):
        raise AssertionError("fitted again")

    monkeypatch.setattr(command, "fit", refuse)
    heard = Heard()
    pretrain(folder / "x.npy", folder / "run", time="4m", machine=CPU, tell=heard)
    assert any("going on from step 3" in note for note in heard.notes)
    assert any(note.startswith("verdict:") for note in heard.notes)
    page = (folder / "run" / "report.html").read_text()
    assert "What auto tried" in page
    assert "<p>Verdict:" in page


def test_another_wish_for_the_same_run_is_refused_with_both(stopped):
    folder, _ = stopped
    with pytest.raises(MocoError, match="time was 4m, now 2h"):
        pretrain(folder / "x.npy", folder / "run", time="2h", machine=CPU)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"time": "20m", "recipe": "v2"}, "--time 20m is for the recipe auto"),
        ({"time": "20m", "recipe": v2()}, "--time 20m is for the recipe auto"),
        ({"time": "20m", "changes": {"epochs": 3}}, "--time 20m and --epochs both say"),
        ({"time": "20m", "changes": {"steps": 3}}, "--time 20m and --steps both say"),
        ({"time": "soon"}, "--time soon: give a number with its unit"),
        ({"time": "10s"}, "--time 10s: too short"),
    ],
)
def test_a_time_that_makes_no_sense_is_refused_before_anything(tmp_path, monkeypatch, arguments, why):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MocoError, match=why):
        pretrain("no such images", "run", machine=CPU, **arguments)
    assert not (tmp_path / "run").exists()


def test_measuring_is_refused_where_runs_must_be_the_same(digits, tmp_path):
    np.save(tmp_path / "x.npy", digits[0][:64])
    machine = Machine(device="cpu", reproducible=True)
    with pytest.raises(MocoError, match=r"--machine.reproducible.*--steps.*--views"):
        pretrain(tmp_path / "x.npy", tmp_path / "run", time="60s", machine=machine)
    assert not (tmp_path / "run").exists()


def test_few_images_are_refused_and_leave_nothing(digits, tmp_path):
    np.save(tmp_path / "few.npy", digits[0][:9])
    with pytest.raises(MocoError, match="9 images are too few"):
        pretrain(tmp_path / "few.npy", tmp_path / "run", time="60s", machine=CPU)
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_record_of_auto_is_not_taken_for_one():
    assert not goes_on({}, Ask(), "run")
    assert goes_on({"asked": {"time": "5m"}}, Ask(time="5m"), "run")
