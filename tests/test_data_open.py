"""open_source and open_labelled: what `--data` names, and what is said where it names nothing."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moco.data.archive import Archive
from moco.data.array import Array
from moco.data.demo import Demo
from moco.data.folder import Folder
from moco.data.listing import Listing
from moco.data.open import open_labelled, open_source
from moco.errors import MocoError


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name, "PNG")
    return root


def test_each_kind_of_data_is_opened_by_its_own_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "photos/a.png", "demo/a.png")
    (tmp_path / "l.TXT").write_text("photos/a.png")
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 8), np.uint8))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "photos" / "a.png", "a.png")
    monkeypatch.chdir(tmp_path)
    for data, kind in (
        ("photos", Folder),
        (tmp_path / "photos", Folder),
        ("./demo", Folder),
        ("demo", Demo),
        ("l.TXT", Listing),
        ("a.npy", Array),
        ("a.zip", Archive),
    ):
        source = open_source(data)
        assert type(source) is kind
        assert len(source) > 0
        assert source.description
        assert (source.hints.steps is None) == (kind is not Demo)


def test_what_is_not_there_is_answered_with_all_that_may_be_given(tmp_path: Path) -> None:
    for data in ("", str(tmp_path / "none"), "a\0b", "x" * 5000):
        with pytest.raises(MocoError, match=r"no such file or folder; --data takes a folder, a \.zip"):
            open_source(data)


def test_a_file_of_another_kind_and_a_single_image_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(MocoError, match="give the folder"):
        open_source(tmp_path / "a.png")
    with pytest.raises(MocoError, match="not read; --data takes"):
        open_source(tmp_path / "a.mp4")


@pytest.mark.parametrize("judged", ["test", "val", "valid"])
@pytest.mark.parametrize("top", ["", "photos/"])
@pytest.mark.parametrize("zipped", [False, True])
def test_train_is_the_bank_of_what_is_judged(tmp_path: Path, judged: str, top: str, zipped: bool) -> None:
    root = put(tmp_path / "data", *(f"{top}train/{c}/{i}.png" for c in ("cat", "dog", "10", "9") for i in range(2)))
    put(root, f"{top}{judged}/dog/1.png", f"{top}{judged}/cat/1.png")
    if zipped:
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            for path in root.rglob("*.png"):
                archive.write(path, path.relative_to(root))
        root = tmp_path / "data.zip"
    labelled = open_labelled(root)
    assert labelled.classes == ("9", "10", "cat", "dog")
    assert [labelled.source.name(i) for i in range(2)] == [f"{top}{judged}/cat/1.png", f"{top}{judged}/dog/1.png"]
    assert labelled.labels.tolist() == [2, 3]
    assert labelled.labels.dtype == np.int64
    assert [labelled.source.label(i) for i in range(2)] == ["cat", "dog"]
    assert labelled.bank is not None
    assert labelled.bank.labels.tolist() == [1, 1, 0, 0, 2, 2, 3, 3]
    assert labelled.bank.classes == labelled.classes
    assert labelled.bank.bank is None
    assert pickle.loads(pickle.dumps(labelled)).source.raw(1) == labelled.source.raw(1)


def test_of_test_and_val_beside_train_test_is_judged_and_the_description_says_so(tmp_path: Path) -> None:
    put(tmp_path, *(f"{part}/{c}/1.png" for part in ("train", "test", "val") for c in "ab"))
    labelled = open_labelled(tmp_path)
    assert labelled.bank is not None
    assert [labelled.source.name(i) for i in range(2)] == ["test/a/1.png", "test/b/1.png"]
    assert "(val is left out)" in labelled.source.description


def test_without_a_split_the_folder_right_above_an_image_is_its_class(tmp_path: Path) -> None:
    put(tmp_path, "2019/cat/1.png", "2020/dog/1.png", "2020/cat/2.png")
    labelled = open_labelled(tmp_path)
    assert labelled.bank is None
    assert labelled.classes == ("cat", "dog")
    assert labelled.labels.tolist() == [0, 0, 1]


def test_images_without_a_class_are_answered_with_the_layout_that_has_one(tmp_path: Path) -> None:
    flat = put(tmp_path / "flat", "1.png", "2.png")
    mixed = put(tmp_path / "mixed", "train/1.png", "test/cat/1.png")
    (tmp_path / "l.csv").write_text("path,label\nflat/1.png,a\nflat/2.png,\n")
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 8), np.uint8))
    for data in (flat, mixed, tmp_path / "l.csv", tmp_path / "a.npy"):
        with pytest.raises(MocoError, match=r"FOLDER/<class>/<image>\.jpg"):
            open_labelled(data)


def test_a_single_class_is_nothing_to_judge_by(tmp_path: Path) -> None:
    with pytest.raises(MocoError, match="of one class, cat"):
        open_labelled(put(tmp_path, "cat/1.png", "cat/2.png"))


def test_a_table_and_an_array_have_their_own_labels(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png")
    (tmp_path / "l.csv").write_text("path,label\n1.png,b\n2.png,a\n")
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 8, 8), np.uint8), y=[10, 9, 10])
    assert open_labelled(tmp_path / "l.csv").labels.tolist() == [1, 0]
    array = open_labelled(tmp_path / "a.npz")
    assert array.classes == ("9", "10")
    assert array.labels.tolist() == [1, 0, 1]


def test_a_folder_may_be_called_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "stack/a.png")
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_source("stack"), Folder)
