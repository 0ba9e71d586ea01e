"""All runs of a folder at a glance: listed, and on a live page in a real browser."""

import json
import time

import pytest
from serious import serious

from moco.commands.overview import Overview, as_json, as_table
from moco.commands.watch_runs import Watch
from moco.errors import MocoError
from moco.loopback import Asked, Loopback
from moco.machine import Machine
from moco.recipe import override, v2
from moco.run.directory import DataRecord, start_run

NASTY = 'it\'s "<img src=x onerror=alert(1)>"\nb'


def make_run(folder, name, steps=100, done=0, knn=None, lock=False):
    run = start_run(
        folder / name, override(v2(), {"epochs": None, "steps": steps}), Machine(), DataRecord("d", 5000, "x")
    )
    rows = [
        {"step": n, "epoch": 0, "loss": 7 - n / 50, "chance": 8.0, "images_per_second": 512.0, "health": "normal: fine",
         "level": "normal"}
        for n in range(1, done + 1)
    ]  # fmt: skip
    rows += [{"step": done, "epoch": 0, "knn": knn}] if knn else []
    run.log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if not lock:
        run.unlock()
    return run


@pytest.fixture
def folder(tmp_path):
    held = make_run(tmp_path, "a/running", done=40, knn=0.5, lock=True)
    make_run(tmp_path, "finished", done=100)
    make_run(tmp_path, NASTY, done=1)
    make_run(tmp_path, "empty")
    yield tmp_path
    held.unlock()


def test_what_is_listed_is_what_the_files_say(folder):
    lines = {line.run: line for line in Overview(folder).look()}
    running = lines["a/running"]
    assert (running.state, running.step, running.steps, running.knn) == ("running", 40, 100, 0.5)
    assert running.seconds_left == pytest.approx(60 * 256 / 512)
    assert lines["finished"].state == "finished"
    assert lines["empty"].state == "dead"
    assert lines["empty"].health == "no step has been written down yet"
    assert len(lines) == 4
    assert {one["run"] for one in json.loads(as_json(list(lines.values())))} == set(lines)
    head, rows = as_table(list(lines.values()))
    assert head == ["run", "state", "recipe", "images", "step", "kNN", "health"]
    assert rows[0] == ["a/running", "running", "v2", "5,000", "40/100", "50.0%", "normal: fine"]


def test_damaged_files_are_told_in_the_line(folder):
    with (folder / "finished" / "log.jsonl").open("a") as log:
        log.write("nonsense\n")
    (folder / "empty" / "recipe.json").write_text("{")
    lines = {line.run: line for line in Overview(folder).look()}
    assert lines["finished"].damaged == 1
    assert "1 damaged lines" in as_table([lines["finished"]])[1][0][-1]
    assert lines["empty"].level == "bad"
    assert "is damaged" in lines["empty"].health


def test_a_second_look_reads_only_what_has_changed(folder, monkeypatch):
    watch = Watch(Overview(folder))
    monkeypatch.setattr("moco.commands.watch_runs._BETWEEN", 0.0)
    first = watch.changed(0)
    assert first["total"] == len(first["runs"]) == 4
    opened = []
    plain = type(folder).open
    monkeypatch.setattr(type(folder), "open", lambda path, *a, **k: opened.append(path.name) or plain(path, *a, **k))
    again = watch.changed(first["version"])
    assert (again["runs"], again["version"]) == ([], first["version"])
    assert set(opened) <= {"locks", "mounts"}
    with (folder / "a" / "running" / "log.jsonl").open("a") as log:
        log.write('{"step": 41, "epoch": 0, "loss": 1.5}\n')
    third = watch.changed(first["version"])
    assert [(run["run"], run["step"]) for run in third["runs"]] == [("a/running", 41)]
    (folder / "empty" / "recipe.json").unlink()
    assert watch.changed(third["version"])["gone"] == ["empty"]


def test_a_thousand_runs_are_looked_at_again_in_no_time(tmp_path):
    for n in range(1000):
        run = tmp_path / f"run-{n:04}"
        run.mkdir()
        (run / "recipe.json").write_text("{}")
        (run / "log.jsonl").write_text('{"step": 1, "epoch": 0, "loss": 2.0}\n')
    overview = Overview(tmp_path)
    assert len(overview.look()) == 1000
    best = min(_timed(overview.look) for _ in range(3))
    assert best < 1.0


def _timed(act):
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def test_only_runs_that_were_found_are_shown_closely(folder):
    watch = Watch(Overview(folder))
    watch.changed(0)
    given = json.loads(watch(Asked("/run.json", {"run": "a/running"})).body)
    assert given["groups"][0]["curves"][0]["title"] == "Loss"
    assert len(given["lines"]) == 12
    for name in ("../x", "/etc/passwd", "a", ""):
        assert watch(Asked("/run.json", {"run": name})).status == 404
    for path in ("/../etc/passwd", "/page.js", "/explore.js"):
        assert watch(Asked(path, {})).status == 404
    assert watch(Asked("/runs.json", {}, b"x")).status == 404


def test_a_log_that_cannot_be_read_is_told_in_the_place_of_its_lines(folder):
    watch = Watch(Overview(folder))
    (folder / "empty" / "log.jsonl").unlink()
    (folder / "empty" / "log.jsonl").mkdir()
    assert {run["run"] for run in watch.changed(0)["runs"]} >= {"empty", "finished"}
    given = json.loads(watch(Asked("/run.json", {"run": "empty"})).body)
    assert given["groups"] == []
    assert "cannot be read: is a directory" in given["lines"][0]


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(MocoError, match="is no folder"):
        Overview(tmp_path / "nowhere")


def test_the_live_page_grows_and_takes_no_name_for_html(folder, tab):
    with Loopback(Watch(Overview(folder)), 5600).serving() as address:
        seen = tab(address)
        page = seen.page
        page.wait_for_selector("#runs .run")
        assert page.locator("#runs .run").count() == 4
        assert "onerror=alert(1)" in page.locator("#runs tbody").inner_text()
        assert page.locator("#runs img").count() == 0
        first = page.locator("#runs tbody tr").first
        assert "running" in first.inner_text()
        first.locator(".run").click()
        page.wait_for_selector("#runs figure svg.plot")
        with (folder / "a" / "running" / "log.jsonl").open("a") as log:
            log.write('{"step": 77, "epoch": 0, "loss": 1.5}\n')
        page.wait_for_selector("#runs tbody tr >> text=77 of 100")
        assert page.evaluate("document.activeElement.textContent") == "a/running", "who uses keys stays where they are"
        page.fill("#filter", "finished")
        assert page.locator("#runs .run").count() == 1
        assert seen.errors == []
        assert seen.outside == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_axe_finds_nothing_serious_with_runs_of_every_state_and_one_open(folder, tab, width, dark):
    make_run(folder, "bad", done=2)
    (folder / "bad" / "recipe.json").write_text("{")
    with Loopback(Watch(Overview(folder)), 5620).serving() as address:
        seen = tab(address, width=width, dark=dark)
        seen.page.locator("#runs .run").first.click()
        seen.page.wait_for_selector("#runs figure svg.plot")
        assert seen.page.locator(".level-bad").count() > 0
        assert serious(seen) == []
        table = "#runs"  # on a phone, too, nothing of it has to be moved into sight
        assert seen.page.locator(table).evaluate("one => one.scrollWidth - one.parentElement.clientWidth") <= 0
