"""Archive: images in a zip or tar, read in place, from any process and thread."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from moco.data.archive import Archive
from moco.data.check import check
from moco.data.decode import decode
from moco.data.open import open_labelled, open_source
from moco.data.source import Unreadable
from moco.errors import MocoError


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(file, "PNG")
    return file.getvalue()


MEMBERS = {
    "dog/b 1.png": png(2),
    "cat/ä.PNG": png(1),
    "notes.txt": b"x",
    "__MACOSX/cat/._a.png": b"x",
    "cat/.h.png": b"x",
}


def packed(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w") as tar:
            for name, data in members.items():
                info = tarfile.TarInfo("./" + name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture(params=["zip", "stored.zip", "tar"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    method = zipfile.ZIP_STORED if request.param == "stored.zip" else zipfile.ZIP_DEFLATED
    return Archive(packed(tmp_path / f"a.{request.param}", MEMBERS, method))


def test_members_are_read_in_a_fixed_order_without_litter(archive: Archive) -> None:
    assert [archive.name(i) for i in range(len(archive))] == ["cat/ä.PNG", "dog/b 1.png"]
    assert archive.raw(0) == MEMBERS["cat/ä.PNG"]
    assert archive.raw(1) == MEMBERS["dog/b 1.png"]
    assert [archive.label(i) for i in range(2)] == ["cat", "dog"]


def test_a_pickled_archive_reads_the_same(archive: Archive) -> None:
    assert pickle.loads(pickle.dumps(archive)).raw(1) == archive.raw(1)


def read_many(archive: Archive) -> bool:
    return all(archive.raw(i % 2) == MEMBERS[archive.name(i % 2)] for i in range(200))


def test_processes_and_threads_do_not_disturb_each_other(archive: Archive) -> None:
    archive.raw(0)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert all(pool.map(read_many, [archive] * 4))
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read_many, [archive] * 8))


def test_one_folder_around_everything_is_not_the_class(tmp_path: Path) -> None:
    source = Archive(
        packed(tmp_path / "a.zip", {f"photos/{name}": png(i) for i, name in enumerate(("x/1.png", "y/2.png"))})
    )
    assert [source.label(i) for i in range(2)] == ["x", "y"]
    one_class = Archive(packed(tmp_path / "b.zip", {"x/1.png": png(1), "x/2.png": png(2)}))
    assert one_class.label(0) == "x"


def test_broken_archives_are_refused_in_a_sentence(tmp_path: Path) -> None:
    whole = packed(tmp_path / "whole.zip", MEMBERS).read_bytes()
    whole_tar = packed(tmp_path / "whole.tar", {"a.png": png(1) + bytes(5000)}).read_bytes()
    for name, data in (
        ("empty.zip", b""),
        ("cut.zip", whole[:-30]),
        ("text.zip", b"not a zip at all"),
        ("empty.tar", b""),
        ("text.tar", b"not a tar at all" * 100),
        ("cut.tar", whole_tar[:3000]),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MocoError, match="broken or cut short"):
            Archive(tmp_path / name)


def test_an_archive_without_images_is_refused_with_what_there_is(tmp_path: Path) -> None:
    for name in ("a.zip", "a.tar"):
        with pytest.raises(MocoError, match="1 other file; read are files that end in"):
            Archive(packed(tmp_path / name, {"notes.txt": b"x"}))


def test_a_damaged_member_is_one_unreadable_image(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", MEMBERS, zipfile.ZIP_STORED)
    source = Archive(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(MEMBERS["dog/b 1.png"], MEMBERS["dog/b 1.png"][:-9] + b"damaged!!"))
    assert source.raw(0)
    with pytest.raises(Unreadable, match="checksum"):
        source.raw(1)
    path.write_bytes(data[:60])
    with pytest.raises(Unreadable, match="ends before"):
        source.raw(1)
    path.write_bytes(b"\0" * len(data))
    with pytest.raises(Unreadable, match="has changed"):
        source.raw(1)
    path.unlink()
    with pytest.raises(Unreadable, match="cannot be read"):
        source.raw(1)


def test_other_methods_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MocoError, match="repack"):
        Archive(packed(tmp_path / "a.zip", MEMBERS, zipfile.ZIP_LZMA))


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar.xz", ".7z"])
def test_compressed_tars_are_refused_with_what_to_do(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"x")
    with pytest.raises(MocoError, match=r"unpack it .* or repack it as \.zip"):
        open_source(tmp_path / f"a{suffix}")


REAL = sorted(Path(os.environ.get("MOCO_TEST_DATA", "/nonexistent")).glob("*.zip"))


@pytest.mark.skipif(not REAL, reason="MOCO_TEST_DATA names no folder of zips of images")
def test_every_real_archive_opens_and_decodes() -> None:
    for path in REAL:
        source = open_source(path)
        for i in range(0, len(source), max(1, len(source) // 20)):
            raw = source.raw(i)
            assert min(decode(raw).shape[:2]) >= 4, (path, source.name(i))


@pytest.mark.skipif(not REAL, reason="MOCO_TEST_DATA names no folder of zips of images")
def test_a_real_archive_of_train_and_test_is_labelled_with_a_bank_and_checks_clean() -> None:
    smallest = min((p for p in REAL if "trashnet" in p.name), default=None)
    if smallest is None:
        pytest.skip("MOCO_TEST_DATA holds no trashnet")
    labelled = open_labelled(smallest)
    assert labelled.bank is not None
    assert (len(labelled.source), len(labelled.bank.source), len(labelled.classes)) == (505, 2022, 6)
    assert not check(labelled.source).unreadable
