"""Pages and tiles of one file are images of their own; large files are never decoded whole."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from moco.data import large
from moco.data.check import check
from moco.data.decide import Asked, decide
from moco.data.decode import decode
from moco.data.folder import Folder
from moco.data.labelled import by_folder
from moco.data.native import open_native
from moco.data.open import open_source
from moco.data.pieces import Pieces, labelled_pieces, pieces
from moco.data.seen import seen
from moco.data.source import native
from moco.data.survey import survey
from moco.data.tiff import Tiff
from moco.errors import MocoError

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def noise(*shape, dtype=np.uint16, most=4000):
    return RANDOM.integers(0, most, shape).astype(dtype)


def opened(source, **asked):
    found = decide(source, survey(source), Asked(**asked))
    cut = pieces(source, found.pixels)
    return cut, seen(cut, found.pixels)


@pytest.fixture
def stacks(tmp_path):
    """Two stacks of 5 and 3 slices, one of one slice, and a broken file."""
    data = [noise(5, 16, 20), noise(3, 16, 20), noise(16, 20)]
    for i, stack in enumerate(data):
        tifffile.imwrite(tmp_path / f"{i}.tif", stack, photometric="minisblack")
    (tmp_path / "3.tif").write_bytes(b"II*\0broken")
    return tmp_path, data


def test_each_page_is_an_image_by_default(stacks):
    folder, data = stacks
    cut, images = opened(Folder(folder))
    assert len(images) == 5 + 3 + 1 + 1
    assert "10 images (all pages)" in cut.description
    assert images.name(6) == "1.tif, page 1"
    assert np.array_equal(decode(images.raw(6))[..., 0], data[1][1])
    assert [name for name, _ in check(cut, pixels=images.pixels).unreadable] == ["3.tif, page 0"]


@pytest.mark.parametrize(
    ("asked", "expected"), [("middle", lambda s: s[len(s) // 2]), ("max", lambda s: s.max(axis=0))]
)
def test_one_page_or_the_brightest_of_all_stands_for_a_file(stacks, asked, expected):
    folder, data = stacks
    _, images = opened(Folder(folder), pages=asked)
    assert len(images) == 4
    assert np.array_equal(decode(images.raw(0))[..., 0], expected(data[0]))


def test_the_first_page_is_the_file_as_ever(stacks):
    folder, data = stacks
    source = Folder(folder)
    cut, images = opened(source, pages="first")
    assert cut is source
    assert np.array_equal(decode(images.raw(0))[..., 0], data[0][0])
    said = decide(source, survey(source), Asked(pages="first")).lines[-1]
    assert said == "2 of 3 files looked at have several pages each: the first is learnt from, --pages all takes all"
    with pytest.raises(MocoError, match="--pages some: all, first, middle or max"):
        opened(source, pages="some")


def test_frames_of_an_animation_are_images(tmp_path):
    frames = [Image.fromarray(noise(16, 16, 3, dtype=np.uint8, most=255)).quantize(8) for _ in range(4)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    _, images = opened(Folder(tmp_path))
    assert len(images) == 4
    assert np.array_equal(decode(images.raw(2)), np.asarray(frames[2].convert("RGB")))


def test_tiles_cover_the_image_and_overlap(tmp_path):
    image = noise(100, 150)
    tifffile.imwrite(tmp_path / "a.tif", image)
    cut, images = opened(Folder(tmp_path), tiles=64, overlap=16)
    assert cut.rows[:, 2:].tolist() == [[y, x] for y in (0, 36) for x in (0, 48, 86)]
    covered = np.zeros(image.shape)
    for i, (_, _, top, left) in enumerate(cut.rows):
        assert np.array_equal(decode(images.raw(i))[..., 0], image[top : top + 64, left : left + 64])
        covered[top : top + 64, left : left + 64] = 1
    assert covered.all()
    assert images.name(4) == "a.tif, tile 36+48"


def test_empty_tiles_are_left_out_counted_and_said(tmp_path):
    image = np.full((128, 128), 200, np.uint16)
    image[:64, :64] = noise(64, 64)
    tifffile.imwrite(tmp_path / "a.tif", image)
    cut, _ = opened(Folder(tmp_path), tiles=64)
    assert len(cut) == 1
    assert "3 empty ones left out" in cut.description
    assert len(opened(Folder(tmp_path), tiles=64, skip=0.0)[0]) == 4


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("how", [{"tile": (32, 48)}, {"rowsperstrip": 13}, {"tile": (32, 32), "compression": "zstd"}])
@pytest.mark.parametrize("bands", [1, 3])
def test_a_window_is_that_part_of_the_page(how, planar, bands):
    values = noise(100, 150, bands)
    stored = values[..., 0] if bands == 1 else values if planar == "contig" else values.transpose(2, 0, 1)
    layout = {} if bands == 1 else {"planarconfig": planar}
    import io

    file = io.BytesIO()
    tifffile.imwrite(file, stored, photometric="minisblack", **layout, **how)
    image = open_native(file.getvalue())
    for top, left, height, width in ((0, 0, 100, 150), (31, 47, 40, 70), (90, 140, 10, 10), (5, 5, 4, 4)):
        found = image.window(0, (top, left, height, width))
        assert np.array_equal(found, values[top : top + height, left : left + width])


def test_a_window_of_a_slice_of_a_stack_is_that_of_the_slice():
    import io

    stack = noise(4, 2, 64, 80)
    for kind in ("imagej", "ome"):
        file = io.BytesIO()
        tifffile.imwrite(file, stack, **{kind: True}, metadata={"axes": "ZCYX"}, photometric="minisblack")
        found = open_native(file.getvalue()).window(2, (10, 20, 30, 40))
        assert np.array_equal(found, stack[2, :, 10:40, 20:60].transpose(1, 2, 0))


def test_a_large_tiff_is_read_from_its_path_and_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(large, "LARGE", 1000)
    image = noise(200, 300)
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(64, 64))
    assert isinstance(native(Folder(tmp_path), 0), Tiff)
    decoded = []
    whole = tifffile.TiffPage.asarray
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *a, **k: decoded.append(1) or whole(*a, **k))
    cut, images = opened(Folder(tmp_path), tiles=64, skip=0.0)
    before = len(decoded)
    assert np.array_equal(decode(images.raw(7))[..., 0], image[64:128, 128:192])
    assert len(decoded) == before
    assert len(cut) == 4 * 5


def test_pieces_of_a_file_are_of_its_class(tmp_path):
    for label, pages in (("a", 2), ("b", 3)):
        (tmp_path / label).mkdir()
        tifffile.imwrite(tmp_path / label / "x.tif", noise(pages, 16, 16), photometric="minisblack")
    source = Folder(tmp_path)
    found = decide(source, survey(source))
    labelled = labelled_pieces(by_folder(source, "x"), found.pixels)
    assert isinstance(labelled.source, Pieces)
    assert labelled.labels.tolist() == [0, 0, 1, 1, 1]
    assert labelled.source.label(4) == "b"


def shards(folder, images, index):
    """Two shards of TIFFs as webdataset writes them, with DALI's index beside each or without one."""
    import io
    import tarfile

    for number, part in enumerate((images[:2], images[2:])):
        lines = []
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for i, image in enumerate(part):
                file = io.BytesIO()
                tifffile.imwrite(file, image, photometric="minisblack")
                info = tarfile.TarInfo(f"{number}{i}.tif")
                info.size = file.tell()
                archive.addfile(info, io.BytesIO(file.getvalue()))
        with tarfile.open(folder / f"{number}.tar") as archive:
            lines = [f"tif {one.offset_data} {one.size} {one.name}" for one in archive]
        if index:
            (folder / f"{number}.idx").write_text("\n".join([f"v1.2 {len(lines)}", *lines]))
    return open_source(f"{folder}/{{0..1}}.tar")


def test_pages_and_tiles_of_shards_with_an_index_are_images(tmp_path):
    data = [noise(3, 32, 40) for _ in range(4)]
    cut, images = opened(shards(tmp_path, data, index=True), tiles=32, skip=0.0)
    assert len(cut) == 4 * 3 * 2
    assert np.array_equal(decode(images.raw(len(cut) - 1))[..., 0], data[3][2, :, 8:])


def test_of_shards_that_are_read_from_front_to_end_the_first_page_is_taken_and_said(tmp_path):
    source = shards(tmp_path, [noise(3, 16, 20) for _ in range(4)], index=False)
    found = decide(source, survey(source))
    assert found.pixels.pages == "first"
    assert "4 of 4 files looked at have several pages, of which the first is learnt from" in found.lines[-1]
    assert pieces(source, found.pixels) is source
    for asked, flag in (
        ({"tiles": 16}, "--tiles 16"),
        ({"pages": "all"}, "--pages all"),
        ({"pages": "max"}, "--pages max"),
    ):
        with pytest.raises(MocoError, match=f"{flag}: these shards are read from front to end.*moco pack"):
            opened(source, **asked)


@pytest.mark.parametrize("asked", [{"tiles": 8}, {"tiles": 64, "overlap": 64}, {"tiles": 64, "skip": 2.0}])
def test_tiles_that_cannot_be_are_refused_with_the_flag(tmp_path, asked):
    tifffile.imwrite(tmp_path / "a.tif", noise(100, 100))
    with pytest.raises(MocoError, match="--tiles"):
        opened(Folder(tmp_path), **asked)
