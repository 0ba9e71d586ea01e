"""Images in the bands, type and range of their data set: the same number means the same in every image."""

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from moco.data.array import Array
from moco.data.check import check
from moco.data.decide import Asked, decide
from moco.data.decode import decode
from moco.data.folder import Folder
from moco.data.seen import gray, seen
from moco.data.source import Unreadable
from moco.data.survey import survey
from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.recipe import Normalize
from moco.recipe.pixels import Pixels

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def folder(path, images, **how):
    """A folder of TIFFs, as tifffile writes them."""
    path.mkdir()
    for i, image in enumerate(images):
        tifffile.imwrite(path / f"{i:02}.tif", image, **how)
    return Folder(path)


def decided(source, **asked):
    return decide(source, survey(source), Asked(**asked))


def bands(n, *shape, most=3000, dtype=np.uint16):
    return [RANDOM.integers(0, most, shape).astype(dtype) for _ in range(n)]


def test_two_12_bit_images_are_equally_bright_whatever_their_maximum(tmp_path):
    a, b = (np.full((16, 16), 1000, np.uint16) for _ in range(2))
    a[0, 0], b[0, 0] = 4095, 4094
    source = folder(tmp_path / "x", [a, b])
    found = decided(source)
    assert found.pixels.white == (4095.0,)
    prepare = Preprocess(16, found.normalize, found.pixels)
    left, right = (prepare.centre(decode(seen(source, found.pixels).raw(i))) for i in range(2))
    assert left[0, 8, 8] == right[0, 8, 8] == pytest.approx(1000 / 4095)


def test_a_few_bright_values_do_not_darken_the_rest(tmp_path):
    images = bands(8, 32, 32, most=300)
    images[3][5, 5] = 60000
    found = decided(folder(tmp_path / "x", images))
    assert found.pixels.white[0] < 400
    assert "percentiles" in found.lines[0]


def test_photographs_are_what_they_were(tmp_path):
    for i in range(4):
        Image.fromarray(RANDOM.integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
    source = Folder(tmp_path)
    assert decided(source).pixels is None
    assert seen(source, None) is source


def test_gray_images_are_one_channel_also_where_their_files_have_three(tmp_path):
    for i in range(4):
        image = Image.fromarray(RANDOM.integers(0, 255, (16, 16)).astype(np.uint8))
        image.convert("RGB" if i % 2 else "L").save(tmp_path / f"{i}.png")
    found = decided(Folder(tmp_path))
    assert (found.pixels.channels, found.pixels.kind) == (1, "uint8")
    images = seen(Folder(tmp_path), found.pixels)
    assert {decode(images.raw(i)).shape for i in range(4)} == {(16, 16, 1)}


def test_gray_is_the_mean_of_red_green_and_blue_on_one_channel(tmp_path):
    rgb = RANDOM.integers(0, 255, (16, 16, 3)).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    found = decided(Folder(tmp_path), bands="gray")
    pixels = decode(seen(Folder(tmp_path), found.pixels).raw(0))
    assert np.array_equal(pixels[..., 0], np.rint(rgb.mean(axis=2)))
    assert np.array_equal(gray(rgb), pixels)


@pytest.mark.parametrize(("photometric", "meant"), [("rgb", [0, 1, 2]), ("minisblack", [0, 1, 2, 3])])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_gray_of_four_bands_is_of_red_green_and_blue_where_files_name_them_and_of_all_where_not(
    tmp_path, photometric, meant, compression
):
    images = bands(3, 16, 16, 4, most=250, dtype=np.uint8)
    how = {"extrasamples": ["unspecified"]} if photometric == "rgb" else {"planarconfig": "contig"}
    source = folder(tmp_path / "x", images, photometric=photometric, compression=compression, **how)
    found = decided(source, bands="gray")
    assert ("red, green and blue, the first of 4 bands" if photometric == "rgb" else "all 4 bands") in found.lines[0]
    pixels = decode(seen(source, found.pixels).raw(1))
    assert np.array_equal(pixels[..., 0], np.rint(images[1][..., meant].mean(axis=2)))
    prepare = Preprocess(16, found.normalize, found.pixels)
    assert torch.equal(prepare(images[1]), prepare(pixels))


def test_rgb_of_four_bands_is_their_first_three_where_files_name_them_and_refused_where_not(tmp_path):
    images = bands(3, 16, 16, 4, most=250, dtype=np.uint8)
    named = folder(tmp_path / "named", images, photometric="rgb", extrasamples=["unspecified"])
    found = decided(named, bands="rgb")
    assert np.array_equal(decode(seen(named, found.pixels).raw(1)), images[1][..., :3])
    assert found.normalize is None  # that of photographs
    unnamed = folder(tmp_path / "unnamed", images, photometric="minisblack", planarconfig="contig")
    with pytest.raises(MocoError, match=r"do not say that the first are red, green and blue.*--bands 0,1,2"):
        decided(unnamed, bands="rgb")


def test_bands_are_chosen_by_number(tmp_path):
    images = bands(4, 16, 16, 12)
    found = decided(folder(tmp_path / "x", images, planarconfig="contig", photometric="minisblack"), bands="7,0")
    assert found.pixels.channels == 2
    pixels = decode(seen(Folder(tmp_path / "x"), found.pixels).raw(1))
    assert np.array_equal(pixels, images[1][..., [7, 0]])
    with pytest.raises(MocoError, match="numbered 0 to 11"):
        decided(Folder(tmp_path / "x"), bands="12")
    with pytest.raises(MocoError, match="numbers from 0"):
        decided(Folder(tmp_path / "x"), bands="red")


def test_files_with_other_bands_are_named_and_counted_not_bent(tmp_path):
    source = folder(tmp_path / "x", bands(6, 16, 16, 4), photometric="minisblack", planarconfig="contig")
    tifffile.imwrite(
        tmp_path / "x" / "odd.tif", bands(1, 16, 16, 3)[0], photometric="minisblack", planarconfig="contig"
    )
    source = Folder(tmp_path / "x")
    found = decided(source)
    assert found.pixels.of == 4
    assert found.lines[-1].startswith("1 of 7 files looked at has other bands")
    with pytest.raises(Unreadable, match="3 bands, and files of this data set have 4"):
        seen(source, found.pixels).raw(6)


def test_one_odd_file_does_not_make_bands_of_photographs(tmp_path):
    for i in range(4):
        Image.fromarray(RANDOM.integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
    odd = bands(1, 16, 16, 4, most=255, dtype=np.uint8)[0]
    tifffile.imwrite(tmp_path / "odd.tif", odd, photometric="rgb", extrasamples=["unspecified"])
    found = decided(Folder(tmp_path))
    assert found.pixels is None
    assert found.lines == ("1 of 5 files looked at has other bands: such files are left out and listed",)
    assert [(name, reason[:7]) for name, reason in check(Folder(tmp_path)).unreadable] == [("odd.tif", "4 bands")]


def test_a_photograph_in_a_set_of_four_bands_is_named(tmp_path):
    folder(
        tmp_path / "x", bands(6, 16, 16, 4, most=255, dtype=np.uint8), photometric="minisblack", planarconfig="contig"
    )
    Image.fromarray(RANDOM.integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(tmp_path / "x" / "photo.png")
    source = Folder(tmp_path / "x")
    found = decided(source)
    assert found.pixels.of == 4
    assert [name for name, _ in check(source, pixels=found.pixels).unreadable] == ["photo.png"]


def test_colour_in_a_gray_set_is_refused_unless_asked_for(tmp_path):
    Image.fromarray(bands(1, 16, 16, 3, most=255, dtype=np.uint8)[0]).save(tmp_path / "a.png")
    one = Pixels()
    with pytest.raises(Unreadable, match="--bands gray or --bands rgb"):
        decode(seen(Folder(tmp_path), one).raw(0))
    assert decode(seen(Folder(tmp_path), replace(one, colour="gray")).raw(0)).shape == (16, 16, 1)


def test_what_was_not_measured_is_counted_and_becomes_black(tmp_path):
    images = [RANDOM.normal(-12, 3, (16, 16)).astype(np.float32) for _ in range(8)]
    for image in images:
        image[0, :8], image[1, 0], image[1, 1] = -9999, np.nan, np.inf
    source = folder(tmp_path / "x", images, extratags=[(42113, "s", 0, "-9999", True)])
    found = decided(source)
    assert found.pixels.no_data == -9999
    assert -30 < found.pixels.black[0] < found.pixels.white[0] < 10
    assert "no data (-9999)" in found.lines[1]
    assert "3.9" in found.lines[1]
    pixels = decode(seen(source, found.pixels).raw(0))[..., 0]
    assert (pixels[0, :8] == np.float32(found.pixels.black[0])).all()
    assert np.isfinite(pixels).all()


@pytest.mark.parametrize("value", [-9999.0, float(np.finfo(np.float32).min), 1e20])
def test_a_value_far_from_all_others_is_said_to_be_no_data_perhaps(tmp_path, value):
    images = bands(4, 16, 16, dtype=np.float32)
    images[2][:4] = value
    source = folder(tmp_path / "x", images)
    (line,) = (line for line in decided(source).lines if "--no-data" in line)
    assert line.startswith(f"6.25% of the values looked at are {line.split()[-1]}, far from all others")
    said = decided(source, no_data=float(line.split()[-1]))
    assert said.pixels.black[0] >= 0
    assert said.pixels.white[0] <= 3000


def test_a_value_among_the_others_is_not_taken_for_no_data(tmp_path):
    images = bands(4, 16, 16, dtype=np.float32)
    images[2][:4] = -2000
    assert not any("--no-data" in line for line in decided(folder(tmp_path / "x", images)).lines)


def test_nothing_is_lost_of_16_bits(tmp_path):
    images = bands(4, 16, 16, most=65536)
    source = folder(tmp_path / "x", images)
    found = decided(source)
    assert np.array_equal(decode(seen(source, found.pixels).raw(2))[..., 0], images[2])
    assert Preprocess(16, found.normalize, found.pixels).centre(images[2][..., None]).unique().numel() > 200


@pytest.mark.parametrize(
    ("asked", "black", "white"), [("0,4000", 0, 4000), ("percentile", 3, 2997), ("image", 0, 65535)]
)
def test_the_range_is_what_was_asked_for(tmp_path, asked, black, white):
    source = folder(tmp_path / "x", bands(8, 64, 64))
    found = decided(source, range=asked)
    assert found.pixels.black[0] == pytest.approx(black, abs=3)
    assert found.pixels.white[0] == pytest.approx(white, abs=3)
    if asked == "image":
        pixels = decode(seen(source, found.pixels).raw(0))
        assert (pixels.min(), pixels.max()) == (0, 65535)


@pytest.mark.parametrize("asked", ["4000", "a,b", "5,5", "9,1"])
def test_a_range_that_is_none_is_refused_with_the_flag(tmp_path, asked):
    with pytest.raises(MocoError, match="--range"):
        decided(folder(tmp_path / "x", bands(2, 16, 16)), range=asked)


def test_arrays_of_any_bands_are_seen(tmp_path):
    values = RANDOM.normal(5, 2, (6, 16, 18, 7)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    source = Array(tmp_path / "a.npy")
    found = decided(source)
    assert (found.pixels.channels, found.pixels.kind) == (7, "float32")
    images = pickle.loads(pickle.dumps(seen(source, found.pixels)))
    assert np.array_equal(decode(images.raw(3)), values[3])
    assert len(found.normalize.mean) == 7


def test_the_same_image_in_8_and_16_bits_is_the_same(tmp_path):
    image = RANDOM.integers(0, 255, (40, 32)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", image.astype(np.uint16) * 257)
    eight = Pixels()
    prepare = Preprocess(16, decided(Folder(tmp_path)).normalize, eight)
    a, b = (prepare.centre(decode(seen(Folder(tmp_path), eight).raw(i))) for i in range(2))
    assert (a - b).abs().max() < 1e-6


def test_preprocess_takes_arrays_of_the_data_set_s_bands_and_type():
    pixels = Pixels(bands=(0, 3), of=4, kind="uint16", black=(0.0, 0.0), white=(4095.0, 4095.0))
    prepare = Preprocess(8, Normalize(mean=(0.0, 0.0), std=(1.0, 1.0)), pixels)
    values = RANDOM.integers(0, 4095, (8, 8, 4)).astype(np.uint16)
    x = prepare(values)
    assert x.shape == (2, 8, 8)
    assert x.equal(prepare(np.ascontiguousarray(values[..., [0, 3]])))
    assert x[1].numpy() == pytest.approx(values[..., 3] / 4095, abs=1e-6)
    with pytest.raises(MocoError, match="5 bands"):
        prepare(np.zeros((8, 8, 5), np.uint16))
    with pytest.raises(MocoError, match="no image"):
        prepare("a.tif")


def test_pillow_s_16_bits_in_colour_are_read_whole():
    imagecodecs = pytest.importorskip("imagecodecs")
    from moco.data.native import open_native

    values = RANDOM.integers(0, 65535, (16, 16, 3)).astype(np.uint16)
    image = open_native(bytes(imagecodecs.png_encode(values)))
    assert image.facts.type == "uint16"
    assert np.array_equal(image.values(), values)
    gray16 = io.BytesIO()
    Image.fromarray(values[..., 0]).save(gray16, "PNG")
    assert np.array_equal(open_native(gray16.getvalue()).values()[..., 0], values[..., 0])


def test_values_beyond_the_range_are_clipped_and_their_images_counted(tmp_path):
    images = bands(20, 16, 16, most=3000)
    images[7][:4] = 60000
    source = folder(tmp_path / "x", images)
    pixels = Pixels(kind="uint16", white=(4095.0,))
    looked = seen(source, pixels)
    values = [decode(looked.raw(i)) for i in range(20)]
    assert looked.beyond == {7}
    unit = Preprocess(16, Normalize(mean=(0.0,), std=(1.0,)), pixels).centre(values[7])
    assert unit.max() == 1
    said = check(source, pixels=pixels).lines()
    assert any(line.startswith("1 image with more than 1% of the values beyond the range") for line in said)
