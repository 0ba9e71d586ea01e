"""The page about a run: one file, at any moment, harmless whatever the images are called."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from moco.commands.report import report
from moco.data.open import open_source
from moco.data.source import fingerprint
from moco.device import place
from moco.encoder import build_encoder
from moco.errors import MocoError
from moco.machine import Machine
from moco.pages.curves import curves, series
from moco.pages.drawing import MOST_POINTS
from moco.pages.pictures import NEAREST, neighbours, view_rows
from moco.pages.words import duration, settings, view_words
from moco.preprocess import Preprocess
from moco.protocols.result import Cell, Result
from moco.recipe import Steps, View, cifar, memory_bank, override, to_json, v2
from moco.run.directory import DataRecord, RunDirectory, start_run
from moco.run.encoder_file import save_encoder

EVIL = "<script>alert(1)<"
SMALL = {
    "encoder.backbone": "resnet10w8",
    "encoder.norm_group": 8,
    "image_size": 32,
    "batch": 16,
    "dictionary.size": 32,
}
RECIPE = override(cifar(), SMALL | {"epochs": 3})
PHOTO = load_sample_image("china.jpg")


def rows(n: int = 6) -> list[dict[str, object]]:
    scores = {"rank": 9.0, "alignment": 0.2, "uniformity": -1.0, "spread": 0.4, "knn": 0.31}
    made: list[dict[str, object]] = [{"step": 0, "epoch": 0, **scores}]
    for step in range(1, n + 1):
        made.append(
            {"step": step, "epoch": 1, "loss": 3.0, "accuracy": 0.1, "positive": 0.9, "negative": 0.1}
            | {"chance": math.log(33), "filled": min(1.0, step / 2), "lr": 0.06, "m": 0.99, "images_per_second": 8.0}
            | {"data_wait": 0.01, "memory_gib": 1.0, "health": "normal: learning <well>", "level": "normal"}
        )
    return made


def write_log(run: RunDirectory, lines: list[dict[str, object]]) -> None:
    run.log.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything in it, and its images."""
    root = tmp_path_factory.mktemp("report")
    (root / "images" / EVIL).mkdir(parents=True)
    for i in range(30):
        top, left = 12 * (i % 15), 20 * i
        Image.fromarray(PHOTO[top : top + 40, left : left + 40]).save(root / "images" / EVIL / f"{i:02d}.png")
    shutil.copy(root / "images" / EVIL / "01.png", root / "images" / EVIL / "01 again.png")
    (root / "images" / "00 broken.png").write_bytes(b"no image")
    data = root / "images"
    source = open_source(data)
    run = start_run(root / "run", RECIPE, Machine(), DataRecord(str(data), len(source), fingerprint(source)))
    write_log(run, rows())
    run.skipped.write_text(f"{EVIL}/x.png\tthe file is empty\n" * 60)
    save_encoder(run.encoder, build_encoder(RECIPE.encoder)[0], RECIPE, 6)
    scores = {
        "this encoder": [Cell(0.5, 0.011), Cell(0.7), Cell(3.14159)],
        "pixels": [Cell(0.4, 0.02, (0.35, 0.45)), Cell(0.9), Cell(2.0)],
    }
    Result(
        protocol="knn",
        data="demo",
        title="neighbours of <b>",
        columns=["1 label", "2 labels", "rank"],
        rows=scores,
        settings={},
        formats=["share", "share", "number"],
        interval="of a share of <7> images",
        note="a quick <look>",
        contenders={"pixels": "the image <itself>"},
    ).save(run.evaluations, "demo")
    run.unlock()
    report(run.path)
    return root


@pytest.fixture
def run(made: Path, tmp_path: Path) -> RunDirectory:
    """A copy to spoil."""
    shutil.copytree(made / "run", tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def html_of(run: RunDirectory) -> str:
    return report(run.path).read_text()


def test_the_page_loads_nothing_from_elsewhere(made: Path) -> None:
    html = (made / "run" / "report.html").read_text()
    assert set(re.findall(r'(?:src|href)="([a-z]*:|#)', html)) == {"data:", "#"}
    assert len(re.findall(r"(?:src|href)=", html)) == len(re.findall(r'(?:src|href)="(?:data:image/|data:,|#)', html))
    assert "default-src 'none'" in html
    assert not re.search(r'<link(?! rel="icon" href="data:,")|<iframe|@import|url\(', html)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html, "no other script runs"
    assert len(html) < 3_000_000


def test_names_are_text_and_not_markup(made: Path) -> None:
    html = (made / "run" / "report.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;" in html
    assert "learning &lt;well&gt;" in html
    assert "neighbours of &lt;b&gt;" in html


def test_the_page_tells_health_facts_scores_and_how_to_load(made: Path) -> None:
    html = (made / "run" / "report.html").read_text()
    assert '<div class="health normal"><b>Normal</b>' in html
    for words in ("resnet10w8", "of 6, finished", "12 s", "8 images/s", "from moco import load", "1 x 64"):
        assert words in html
    assert re.search(r"<strong>50.0</strong>\s*<span class=\"soft\">± 1.1</span>", html)
    assert "<strong>90.0</strong>" in html
    assert "<strong>70.0</strong>" not in html
    for words in (
        "35.0 to 45.0",
        "3.14",
        "of a share of &lt;7&gt; images",
        "a quick &lt;look&gt;",
        "the image &lt;itself&gt;",
    ):
        assert words in html
    assert "<strong>3.14</strong>" not in html, "more is not better of every number"
    assert "60 files could not be read" in html
    assert html.count("the file is empty") == 50


@pytest.mark.parametrize("first", ["/somewhere/bin/moco", "/somewhere/moco/__main__.py"])
def test_the_command_is_shown_as_it_is_typed(run: RunDirectory, first: str) -> None:
    run.write("environment.json", {"command": [first, "pretrain", "--data", "a b"]})
    assert '<pre class="wrap">moco pretrain --data &#39;a b&#39;</pre>' in html_of(run)


@pytest.mark.parametrize("level", ["look", "bad"])
def test_a_verdict_that_is_not_normal_has_its_colour(run: RunDirectory, level: str) -> None:
    write_log(run, [{"step": 7, "epoch": 1, "loss": None, "health": "not learning", "level": level}])
    run.encoder.unlink()
    assert f'<div class="health {level}">' in html_of(run)


def test_without_its_data_the_page_is_made_and_says_so(run: RunDirectory) -> None:
    run.write("data.json", {"data": "/nowhere/at all", "images": 32, "fingerprint": "x"})
    html = html_of(run)
    assert "the data cannot be opened: --data /nowhere/at all" in html
    assert "Contrast accuracy" in html
    assert "What the encoder finds alike" not in html


def test_data_that_have_changed_are_noted(run: RunDirectory) -> None:
    run.write("data.json", run.read("data.json") | {"fingerprint": "another"})
    run.log.unlink()
    assert "no longer what this run was started on" in html_of(run)


def test_a_run_that_has_only_begun_has_a_page(run: RunDirectory) -> None:
    run.log.unlink()
    run.encoder.unlink()
    run.skipped.unlink()
    shutil.rmtree(run.evaluations)
    html = html_of(run)
    assert "no step of this run" in html
    assert "The nearest neighbours are left out: the encoder is written with the first checkpoint" in html
    assert "What the encoder was shown" in html
    assert "moco evaluate" in html


def test_damaged_lines_of_the_log_are_counted_and_left_out(run: RunDirectory) -> None:
    good = run.log.read_text().splitlines()
    run.log.write_text("\n".join([*good[:3], "garb<age", *good[3:5], "[]", *good[5:]]) + "\n")
    html = html_of(run)
    assert re.search(r"2 lines of log.jsonl are\s+damaged and left out", html)
    assert "Contrast accuracy" in html


@pytest.mark.parametrize("n", [0, 1])
def test_a_log_without_a_step_and_one_of_a_single_step_have_a_page(run: RunDirectory, n: int) -> None:
    write_log(run, rows(1)[1:] if n else [])
    html = html_of(run)
    assert ("Contrast accuracy" in html) == bool(n)
    assert ("no step of this run" in html) != bool(n)


def test_neighbours_are_counted_by_class_where_images_state_one(run: RunDirectory, made: Path, tmp_path: Path) -> None:
    assert "Which classes lie next to which" not in html_of(run), "one folder is no class"
    for label in ("cat's <b>", "dog"):
        shutil.copytree(made / "images" / EVIL, tmp_path / "images" / label)
    source = open_source(tmp_path / "images")
    record = DataRecord(str(tmp_path / "images"), len(source), fingerprint(source))
    run.write("data.json", asdict(record))
    html = html_of(run)
    assert "Which classes lie next to which" in html
    assert "cat&#39;s &lt;b&gt;" in html


def test_a_recipe_alone_has_a_page(run: RunDirectory) -> None:
    for file in ("data.json", "machine.json", "environment.json", "log.jsonl"):
        (run.path / file).unlink()
    assert "does not say which images" in html_of(run)


def test_a_damaged_encoder_costs_only_the_neighbours(run: RunDirectory) -> None:
    run.log.unlink()
    run.encoder.write_bytes(b"damaged")
    html = html_of(run)
    assert "The nearest neighbours are left out" in html
    assert "What the encoder was shown" in html


def test_a_damaged_evaluation_costs_only_its_table(run: RunDirectory) -> None:
    run.evaluations.mkdir(exist_ok=True)
    (run.evaluations / "knn-x.json").write_text("{")
    assert re.search(r"An evaluation is left out: \S+knn-x\.json is damaged", html_of(run))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MocoError, match="not a run directory"):
        report(tmp_path)


def test_rows_without_a_number_are_left_out_of_a_curve() -> None:
    lines = [{"step": 1, "loss": None}, {"step": 2, "loss": 2.0}, {"step": 3}]
    steps, values = series(lines, "loss")
    assert steps.tolist() == [2]
    assert values.tolist() == [2.0]
    assert curves([{"step": 1, "loss": None}]) == []
    assert curves([]) == []
    assert [curve.title for group in curves(lines) for curve in group.curves] == ["Loss"]


def test_a_long_log_makes_no_larger_pictures() -> None:
    def size(n: int) -> int:
        lines = [{"step": step, "loss": math.sin(step)} for step in range(n)]
        return len(curves(lines)[0].curves[0].picture)

    assert size(10 * MOST_POINTS) < 1.5 * size(MOST_POINTS)


def test_a_momentum_that_rises_has_a_curve_and_one_that_stays_has_none() -> None:
    for m, shown in ((lambda step: 0.99 + step / 1e5, True), (lambda step: 0.99, False)):
        rows = [{"step": step, "loss": 1.0, "m": m(step)} for step in range(10, 100, 10)]
        titles = [curve.title for group in curves(rows) for curve in group.curves]
        assert ("Momentum of the key encoder" in titles) == shown


def test_the_same_log_makes_the_same_pictures() -> None:
    assert curves(rows()) == curves(rows())


def test_views_are_those_that_training_draws(made: Path) -> None:
    source = open_source(made / "images")
    found = view_rows(source, RECIPE)
    assert len(found) == 8  # an unreadable image is replaced by the next
    assert found == view_rows(source, RECIPE)
    assert found != view_rows(source, replace(RECIPE, seed=1))
    assert {len(row.queries) for row in found} == {len(row.keys) for row in found} == {3}
    assert len({tile.picture for tile in (*found[0].queries, *found[0].keys)}) == 6


def test_a_memory_bank_has_no_key_views(run: RunDirectory) -> None:
    recipe = override(memory_bank(), SMALL)
    assert all(not row.keys for row in view_rows(open_source(run.read("data.json")["data"]), recipe))
    run.encoder.unlink()
    run.log.unlink()
    (run.path / "recipe.json").write_text(to_json(recipe))
    html = html_of(run)
    assert "as query" in html
    assert "as key" not in html


def test_neighbours_leave_out_the_image_itself_and_frame_copies(made: Path) -> None:
    class Coarse(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.adaptive_avg_pool2d(x, 8).flatten(1)

    source, preprocess = open_source(made / "images"), Preprocess(32, RECIPE.normalize)
    found = neighbours(source, Coarse(), preprocess, place(Machine(device="cpu", precision="fp32")), 100)
    assert found.searched == 31
    assert found.width == 192
    for image, nearest in found.rows:
        names = [tile.name for tile in nearest]
        assert len(set(names)) == NEAREST
        assert image.name not in names
        cosines = np.array([tile.cosine for tile in nearest])
        assert (np.diff(cosines) <= 0).all()
    first, nearest = found.rows[0]
    assert {first.name, nearest[0].name} == {f"{EVIL}/01.png", f"{EVIL}/01 again.png"}
    assert nearest[0].copy
    assert found.copies == 1


def test_settings_are_marked_where_they_differ_from_v2() -> None:
    assert not any(setting.differs for setting in settings(v2()))
    recipe = replace(v2(), schedule=Steps())
    assert {s.name: s.value for s in settings(recipe) if s.differs} == {
        "schedule": "Steps",
        "schedule.at": "120, 160",
        "schedule.factor": "0.1",
    }
    assert {s.name for s in settings(memory_bank()) if s.differs} >= {"keys", "dictionary", "dictionary.m"}


def test_a_view_in_words_leaves_out_what_never_happens() -> None:
    plain = View(flip=0, gray=1, solarize=0.2)
    words = view_words(replace(plain, jitter=replace(plain.jitter, p=0), blur=replace(plain.blur, p=0)), 32)
    assert words == [
        "cut out 20% to 100% of its area, resized to 32 x 32 px: always",
        "all colour taken out: always",
        "bright values inverted: 20% of the time",
    ]


def test_durations() -> None:
    assert [duration(s) for s in (3.2, 75, 7300)] == ["3 s", "1 min 15 s", "2 h 1 min"]
