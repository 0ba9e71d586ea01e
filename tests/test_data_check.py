"""check: everything is read once, and the report says what a newcomer wants to know."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moco.data.array import Array
from moco.data.check import check
from moco.data.folder import Folder


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    for i in range(6):
        Image.new("RGB", (20 + i, 10), (40 * i, 0, 0)).save(tmp_path / "cat" / f"{i}.png")
    Image.new("L", (30, 40)).save(tmp_path / "dog" / "grey.png")
    for copy in ("1 again.png", "1 once more.png"):
        (tmp_path / "dog" / copy).write_bytes((tmp_path / "cat" / "1.png").read_bytes())
    (tmp_path / "dog" / "empty.jpg").write_bytes(b"")
    (tmp_path / "dog" / "page.jpg").write_text("<html>404</html>")
    whole = (tmp_path / "cat" / "2.png").read_bytes()
    (tmp_path / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path


def test_the_report_counts_what_is_there(dirty: Path) -> None:
    seen: list[int] = []
    report = check(Folder(dirty), seen.append)
    assert report.count == 12
    assert report.sizes[21, 10] == 3
    assert report.sizes[30, 40] == 1
    assert report.modes == {"RGB": 8, "L": 1}
    assert report.classes == {"cat": 6, "dog": 6}
    assert report.duplicates == [["cat/1.png", "dog/1 again.png", "dog/1 once more.png"]]
    assert [(name, reason.split(",")[0]) for name, reason in report.unreadable] == [
        ("dog/cut.png", "truncated or damaged PNG"),
        ("dog/empty.jpg", "no bytes"),
        ("dog/page.jpg", "a web page"),
    ]
    assert seen[-1] == 12


def test_the_lines_name_the_bad_files_and_the_copies(dirty: Path) -> None:
    text = "\n".join(check(Folder(dirty)).lines())
    for fact in (
        "12 images",
        "3 of 12 images cannot be read",
        "dog/empty.jpg: no bytes",
        "2 images are exact copies",
        "cat/1.png = dog/1 again.png = dog/1 once more.png",
        "8 colour, 1 grey",
        "2 (cat 6, dog 6)",
        "3 of 21 x 10",
        "shorter side: 10 to 30 pixels",
    ):
        assert fact in text


def test_a_clean_set_is_said_to_be_clean(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 256, (9, 8, 8), np.uint8))
    lines = check(Array(tmp_path / "a.npy")).lines()
    assert "no image is there twice" in lines
    assert "every image can be read" in lines


def test_a_train_and_test_folder_are_parts_and_not_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part / "cat").mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / part / "cat" / "1.png")
    lines = check(Folder(tmp_path)).lines()
    assert "parts: test 1, train 1" in lines
    assert "all are 9 x 9 pixels (width x height)" in lines


def test_long_lists_are_cut_with_how_many_more_there_are(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / f"{i:02d}.jpg").write_bytes(b"")
    lines = check(Folder(tmp_path)).lines()
    assert lines[-2:] == ["  ... and 20 more", "more than 1% stop a run: remove or repair them"]
    assert "30 of 30 images cannot be read and would be skipped:" in lines


def test_fifty_thousand_images_take_seconds(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 256, (50_000, 8, 8), np.uint8))
    started = time.perf_counter()
    assert check(Array(tmp_path / "a.npy")).count == 50_000
    assert time.perf_counter() - started < 10


def test_more_than_one_in_a_hundred_is_said_to_stop_a_run_and_the_flag_that_allows_it(dirty: Path) -> None:
    assert check(Folder(dirty)).lines()[-1] == (
        "more than 1% stop a run: remove or repair them, or allow them with --machine.max-skipped 0.25"
    )


def test_one_in_a_hundred_stops_no_run_and_a_name_takes_one_line(tmp_path: Path) -> None:
    for i in range(99):
        Image.new("L", (4, 4), i).save(tmp_path / f"{i:02d}.png")
    (tmp_path / "new\nline.png").write_bytes(b"")
    lines = check(Folder(tmp_path)).lines()
    assert lines[-2:] == ["1 of 100 images cannot be read and would be skipped:", "  new\\nline.png: no bytes"]
