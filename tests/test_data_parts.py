"""Small parts of reading: what first bytes say, a part of a source, a survey, images in memory, batches of a plan."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from moco.data.array import Array
from moco.data.content import kind_of, not_an_image
from moco.data.cutting import read_or_next
from moco.data.folder import Folder
from moco.data.loader import MemoryLoader, Plan, WorkerLoader
from moco.data.memory import LONGEST, load_memory
from moco.data.names import one_line
from moco.data.part import Part
from moco.data.source import Unreadable, file_bytes, fingerprint
from moco.data.survey import survey
from moco.errors import MocoError


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path):
    """Five images of red i and side 10 + i; 2 is empty and 4, the last, is text."""
    for i in range(5):
        Image.new("RGB", (10 + i, 12), (i, 0, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "4.png").write_text("no image")
    return tmp_path


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no bytes"),
        (bytes(99), "nothing but zeros"),
        (b"\n<!DOCTYPE html><p>", "a web page, not an image"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer, not the image: run `git lfs pull`"),
        (b"<svg xmlns=", "SVG or other XML, not pixels"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41mp42", "a video, not an image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", None),
        (b"%PDF-1.7", "a PDF, not an image"),
        ("größe".encode() * 200, "text, not an image"),
        (b"\xff\xd8\xff", None),
        (b"\x89PNG\r\n", None),
        (b"RIFF1234WEBP", None),
        (b"\x93\x01\xfe\x80 who knows", None),
    ],
)
def test_a_bad_file_is_called_what_it_is(raw, why):
    assert not_an_image(raw) == why


def test_first_bytes_name_the_format():
    assert [kind_of(b) for b in (b"\xff\xd8", b"GIF89a", b"II*\0", b"BM", b"P6 ", b"xx")] == [
        "JPEG", "GIF", "TIFF", "BMP", "PPM", None,
    ]  # fmt: skip


def test_names_with_line_breaks_take_one_line():
    assert one_line("a\nb\tc é 猫\x1b[31m") == "a\\nb\\tc é 猫\\x1b[31m"


def test_a_part_reads_through_the_whole(folder):
    part = Part(Folder(folder), np.array([3, 0]), ["x", "y"], "a part")
    assert len(part) == 2
    assert part.description == "a part, 2 images"
    assert [part.name(i) for i in range(2)] == ["3.png", "0.png"]
    assert [part.label(i) for i in range(2)] == ["x", "y"]
    assert part.raw(0) == (folder / "3.png").read_bytes()


def test_a_fingerprint_changes_with_names_numbers_and_content(folder):
    first = fingerprint(Folder(folder))
    assert first == fingerprint(Folder(folder))
    (folder / "0.png").write_bytes((folder / "1.png").read_bytes())
    second = fingerprint(Folder(folder))
    (folder / "1.png").rename(folder / "1b.png")
    third = fingerprint(Folder(folder))
    assert len({first, second, third}) == 3


def test_files_that_cannot_be_read_say_why_in_plain_words(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, why in (
        ("none", "no such file"),
        ("loop", "symbolic links"),
        ("", "directory"),
        ("a\0b", "be read"),
    ):
        with pytest.raises(Unreadable, match=why):
            file_bytes(f"{tmp_path}/{name}")


def test_a_survey_leaves_out_what_cannot_be_read(folder):
    found = survey(Folder(folder))
    assert (found.images, found.short_side, found.longest_side) == (5, 11, 13)
    assert found.mean_area == pytest.approx((120 + 132 + 156) / 3)
    assert found.fits_in_memory(1, "cpu")
    assert not found.fits_in_memory(0, "cpu")
    middling = replace(found, mean_area=300 * 300.0, longest_side=400)
    assert middling.fits_in_memory(1, "cpu")
    assert not middling.fits_in_memory(1, "cuda"), "processes cut them beside it"
    assert not replace(found, longest_side=600).fits_in_memory(1, "cpu")


def test_a_survey_of_nothing_readable_is_an_error_with_a_reason(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(MocoError, match=r"a.png: no bytes"):
        survey(Folder(tmp_path))


def test_memory_holds_every_image_and_the_next_readable_stands_in(folder):
    memory, skipped = load_memory(Folder(folder), 2)
    assert skipped == {2: "no bytes", 4: "text, not an image"}
    assert len(memory) == 5
    pixels, sizes = memory.batch(np.array([0, 2, 4, 3]))
    assert sizes.tolist() == [[12, 10], [12, 13], [12, 10], [12, 13]]
    assert pixels[:, 0, 0, 0].tolist() == [0, 3, 0, 3]
    assert pixels.shape == (4, 3, 12, 13)
    assert not pixels[0, :, :, 10:].any(), "padded with zeros"


def test_one_large_image_keeps_all_out_of_memory(folder):
    Image.new("RGB", (LONGEST + 1, 99)).save(folder / "3.png")
    assert load_memory(Folder(folder), 1) == (None, {})


def test_memory_and_workers_name_the_same_stand_ins(folder):
    source, skipped = Folder(folder), {}
    memory, _ = load_memory(source, 1)
    for i in range(5):
        image = read_or_next(source, i, skipped)
        assert image[0, 0, 0] == memory.batch(np.array([i]))[0][0, 0, 0, 0]
    assert skipped.keys() == {2, 4}


def test_a_source_without_one_readable_image_is_an_error_and_not_a_loop(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"")
    with pytest.raises(MocoError, match="none of the 2 images can be read"):
        read_or_next(Folder(tmp_path), 1, {})


PLAN = Plan(images=10, batch=4, epochs=3, seed=2**63 - 1)


def test_a_plan_leaves_the_incomplete_batch_out_and_shuffles_each_epoch_anew():
    assert (PLAN.steps_per_epoch, PLAN.steps) == (2, 6)
    assert [PLAN.epoch(s) for s in range(6)] == [0, 0, 1, 1, 2, 2]
    epochs = [np.concatenate([PLAN.index(s), PLAN.index(s + 1)]).tolist() for s in (0, 2, 4)]
    assert all(len(set(e)) == 8 and set(e) <= set(range(10)) for e in epochs)
    assert len({tuple(e) for e in epochs}) == 3


@pytest.mark.parametrize("start", [0, 3, 6])
def test_batches_from_any_step_on_are_those_of_one_go(tmp_path, start):
    np.save(tmp_path / "x.npy", np.arange(10, dtype=np.uint8)[:, None, None] + np.zeros((10, 8, 8), dtype=np.uint8))
    source = Array(tmp_path / "x.npy")

    class Corner:
        """Two crops of the first pixel, and of the epoch."""

        size = 4
        channels = 3
        dtype = torch.uint8

        def geometry(self, sizes, index, epoch):
            return [np.full(len(index), 100 * (epoch == 1))] * 2

        def at(self, step, steps):
            return self

        def cut_into(self, out, image, where, row):
            for crop, add in zip(out, where, strict=True):
                crop.fill_(int(image.pixels()[0][0, 0, 0]) + int(add[row]))

    for loader in (MemoryLoader(load_memory(source, 1)[0]), WorkerLoader(source, Corner(), 0)):
        whole, rest = list(loader.batches(PLAN, 0)), list(loader.batches(PLAN, start))
        assert len(whole) == 6
        assert [b.index.tolist() for b in rest] == [PLAN.index(s).tolist() for s in range(start, 6)]
        for a, b in zip(whole[start:], rest, strict=True):
            assert torch.equal(a.pixels, b.pixels)
            assert a.epoch == b.epoch
