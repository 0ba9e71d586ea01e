"""Folder: what counts as an image, which names it has, and when a remembered list no longer holds."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import pytest
from PIL import Image

from moco.data import walk
from moco.data.folder import Folder
from moco.data.source import Source, Unreadable, fingerprint
from moco.errors import MocoError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "moco" / "index"


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path, "PNG")


def settle(root: Path) -> None:
    """Let every folder look as if it had last changed an hour ago."""
    hour_ago = time.time() - 3600
    for folder, _, _ in os.walk(root):
        os.utime(folder, (hour_ago, hour_ago))


def names(source: Source) -> list[str]:
    return [source.name(i) for i in range(len(source))]


def test_flat_nested_and_mixed_images_are_found_in_one_fixed_order(tmp_path: Path) -> None:
    put(
        tmp_path / "b.png",
        tmp_path / "cat" / "deep" / "x.JPG",
        tmp_path / "cat" / "a.Tiff",
        tmp_path / "dog" / "1.webp",
    )
    source = Folder(tmp_path)
    assert names(source) == ["b.png", "cat/a.Tiff", "cat/deep/x.JPG", "dog/1.webp"]
    assert [source.label(i) for i in range(4)] == [None, "cat", "cat", "dog"]
    assert source.raw(0).startswith(b"\x89PNG")
    assert "4 images" in source.description


def test_hidden_files_litter_and_other_suffixes_are_ignored(tmp_path: Path) -> None:
    put(tmp_path / "a.png", tmp_path / ".b.png", tmp_path / "._a.png", tmp_path / "__MACOSX" / "a.png")
    put(tmp_path / "@eaDir" / "t.jpg", tmp_path / ".thumbs" / "t.jpg", tmp_path / "Thumbs.db", tmp_path / "notes.txt")
    assert names(Folder(tmp_path)) == ["a.png"]


def test_names_with_spaces_and_other_scripts_are_read(tmp_path: Path) -> None:
    put(tmp_path / "katze mit hut" / "größe 1.png", tmp_path / "猫" / "写真.png", tmp_path / "b" / "it's.png")
    source = Folder(tmp_path)
    assert sorted(names(source)) == sorted(["b/it's.png", "katze mit hut/größe 1.png", "猫/写真.png"])
    assert all(source.raw(i) for i in range(3))


@pytest.mark.skipif(os.name != "posix", reason="names that are not text exist on POSIX only")
def test_a_name_that_is_not_text_is_read_and_printed_and_remembered(tmp_path: Path) -> None:
    try:
        put(tmp_path / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes no such name")
    settle(tmp_path)
    for _ in range(2):
        source = Folder(tmp_path)
        source.name(0).encode()
        assert source.raw(0)
    assert len(fingerprint(source)) == 64


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path / "data" / "a.png", tmp_path / "else" / "b.png")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "other").symlink_to(tmp_path / "else")
    (tmp_path / "data" / "again").symlink_to(tmp_path / "else")
    (tmp_path / "data" / "file.png").symlink_to(tmp_path / "else" / "b.png")
    assert names(Folder(tmp_path / "data")) == ["a.png", "again/b.png", "file.png"]


def test_a_dangling_link_is_listed_and_unreadable(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(Unreadable, match="no such file"):
        Folder(tmp_path).raw(1)


def test_a_missing_and_an_empty_folder_and_one_without_images_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MocoError, match="no such folder"):
        Folder(tmp_path / "nowhere")
    with pytest.raises(MocoError, match="it is empty"):
        Folder(tmp_path)
    for name in ("a.txt", "b.mp4"):
        (tmp_path / name).write_text("x")
    with pytest.raises(MocoError, match=r"2 other files; .*\.jpg .*\.pgm"):
        Folder(tmp_path)


def test_the_list_is_remembered_until_a_folder_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "cat" / "a.png", tmp_path / "dog" / "b.png")
    settle(tmp_path)
    assert len(Folder(tmp_path)) == 2
    assert len(list(cache.iterdir())) == 1
    with monkeypatch.context() as patched:
        patched.setattr(walk, "walk", lambda root: pytest.fail("the folder was listed again"))
        assert names(Folder(tmp_path)) == ["cat/a.png", "dog/b.png"]
    put(tmp_path / "dog" / "c.png")
    assert names(Folder(tmp_path)) == ["cat/a.png", "dog/b.png", "dog/c.png"]
    (tmp_path / "cat" / "a.png").unlink()
    assert names(Folder(tmp_path)) == ["dog/b.png", "dog/c.png"]


def test_a_folder_that_has_just_changed_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    put(tmp_path / "a.png")
    Folder(tmp_path)
    assert not cache.exists()


def test_a_corrupt_or_unwritable_memory_is_done_without(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a.png", tmp_path / "b.png")
    settle(tmp_path)
    Folder(tmp_path)
    (memory,) = cache.iterdir()
    whole = memory.read_bytes()
    for broken in (b"", b"garbage", b"[]\nx", b"{}\n", whole[:-3], whole.replace(b"a.png", b"z.png")):
        memory.write_bytes(broken)
        assert names(Folder(tmp_path)) == ["a.png", "b.png"]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    settle(tmp_path)
    assert len(Folder(tmp_path)) == 2


def test_a_pickled_folder_reads_the_same_images(tmp_path: Path) -> None:
    put(tmp_path / "x" / "a.png", tmp_path / "y" / "b.png")
    source = Folder(tmp_path)
    again = pickle.loads(pickle.dumps(source))
    assert names(again) == names(source)
    assert again.raw(1) == source.raw(1)
    assert again.label(1) == "y"


def test_the_fingerprint_changes_with_the_names_only(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    before = fingerprint(Folder(tmp_path))
    assert fingerprint(Folder(tmp_path)) == before
    put(tmp_path / "b.png")
    assert fingerprint(Folder(tmp_path)) != before


def test_twenty_thousand_files_are_listed_in_seconds(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / f"{i:02d}").mkdir()
        for j in range(1000):
            os.close(os.open(tmp_path / f"{i:02d}" / f"{j:04d}.jpg", os.O_CREAT))
    settle(tmp_path)
    started = time.perf_counter()
    assert len(Folder(tmp_path)) == 20_000
    walked = time.perf_counter()
    assert len(Folder(tmp_path)) == 20_000
    assert walked - started < 10
    assert time.perf_counter() - walked < 2


def test_a_link_that_leads_to_itself_is_passed_over_and_the_rest_is_read(tmp_path: Path) -> None:
    put(tmp_path / "a.png", tmp_path / "deep" / "b.png")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "deep" / "loop.jpg").symlink_to("loop.jpg")
    source = Folder(tmp_path)
    assert names(source) == ["a.png", "deep/b.png", "deep/loop.jpg"]
    with pytest.raises(Unreadable, match="symbolic links"):
        source.raw(2)
