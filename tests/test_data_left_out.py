"""Nothing is left out in silence: what is not read is counted by ending, with what would read it, and listed."""

import os
import time
import zipfile

import pytest
from PIL import Image

from moco.cli import main
from moco.data import formats, names, pillow_file
from moco.data.archive import Archive
from moco.data.check import check
from moco.data.content import not_an_image
from moco.data.folder import Folder
from moco.data.left_out import left_out, tally


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def without_heif(monkeypatch):
    """As if the extra were not installed."""
    caches = (formats.has, formats.readable_suffixes, formats.register, names.suffixes, pillow_file._formats)
    for one in caches:
        one.cache_clear()
    found = formats.find_spec
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "pillow_heif" else found(name))
    yield
    monkeypatch.undo()
    for one in caches:
        one.cache_clear()


def fill(folder):
    folder.mkdir(exist_ok=True)
    for i in range(3):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / f"{i}.png")
    for name in ("a.heic", "b.heic", "notes.txt", "film.mp4"):
        (folder / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    return folder


def test_endings_are_counted_with_the_command_that_installs_what_reads_them(tmp_path, without_heif):
    source = Folder(fill(tmp_path / "x"))
    assert tally(source) == (f"3 images read; left out: 2 .heic ({formats.INSTALL}), 1 .mp4, 1 .txt")
    assert left_out(source).listed() == "a.heic\nb.heic\nfilm.mp4\nnotes.txt\n"
    assert tally(source) in check(source).lines()


def test_a_file_without_its_reader_says_what_installs_it(without_heif):
    said = not_an_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert said == f"HEIC: {formats.INSTALL} reads it"


def test_nothing_is_said_where_nothing_is_left_out(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert tally(Folder(tmp_path)) == ""


def test_files_without_an_ending_are_judged_by_their_content(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "IMG_0001", "PNG")
    Image.new("RGB", (8, 8)).save(tmp_path / "1.2.840.113", "PNG")
    (tmp_path / "README").write_text("BM no bitmap")
    source = Folder(tmp_path)
    assert [source.name(i) for i in range(len(source))] == ["1.2.840.113", "IMG_0001"]
    assert tally(source) == "2 images read; left out: 1 without an ending"


def test_what_was_left_out_is_remembered_with_the_list(tmp_path):
    folder = fill(tmp_path / "x")
    os.utime(folder, (time.time() - 3600,) * 2)
    assert tally(Folder(folder)) == tally(Folder(folder)) != ""


def test_an_archive_counts_them_too(tmp_path):
    fill(tmp_path / "x")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("0.png", "notes.txt"):
            archive.write(tmp_path / "x" / name, name)
    assert tally(Archive(tmp_path / "x.zip")) == "1 image read; left out: 1 .txt"


def test_check_writes_the_names_into_a_file(tmp_path, capsys):
    folder = fill(tmp_path / "x")
    (folder / "a.heic").unlink()
    (folder / "b.heic").unlink()
    main(["check", "--data", str(folder), "--left-out", str(tmp_path / "names.txt")])
    assert "3 images read; left out: 1 .mp4, 1 .txt" in capsys.readouterr().out
    assert (tmp_path / "names.txt").read_text() == "film.mp4\nnotes.txt\n"


@pytest.mark.parametrize(
    ("suffix", "kind"), [("avif", "AVIF"), ("jp2", "JPEG2000"), ("ico", "ICO"), ("tga", "TGA"), ("heic", "HEIF")]
)
def test_formats_beyond_the_everyday_ones_are_read(tmp_path, suffix, kind):
    if suffix == "heic":
        pytest.importorskip("pillow_heif")
        formats.register()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / f"a.{suffix}", kind)
    found = check(Folder(tmp_path))
    assert found.unreadable == []
    assert found.sizes == {(64, 64): 1}
