"""TIFF as tifffile writes it, in any layout: what is read is what was written."""

import io

import numpy as np
import pytest
import tifffile

from moco.data.decode import decode
from moco.data.native import open_native
from moco.data.source import Unreadable
from moco.data.tiff import Tiff

RANDOM = np.random.default_rng(0)


def written(values, **how):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **how)
    return file.getvalue()


def noise(*shape, dtype=np.uint16):
    return RANDOM.integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"compression": "lzw"},
        {"compression": "deflate", "predictor": True},
        {"compression": "zstd", "rowsperstrip": 7},
        {"byteorder": ">"},
    ],
    ids=lambda how: "-".join(how) or "plain",
)
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_every_layout_gives_the_values_that_were_written(how, planar):
    values = noise(32, 48, 12)
    stored = values if planar == "contig" else values.transpose(2, 0, 1)
    image = open_native(written(stored, photometric="minisblack", planarconfig=planar, **how))
    assert (image.facts.width, image.facts.height, image.facts.bands) == (48, 32, 12)
    assert image.facts.type == "uint16"
    assert np.array_equal(image.values(), values)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("bool", "uint8"), ("uint8", "uint8"), ("int8", "int16"), ("uint16", "uint16"), ("int16", "int16")]
    + [(name, "float32") for name in ("uint32", "int32", "float16", "float32", "float64")],
)
def test_every_type_is_kept_in_one_of_four(dtype, kept):
    values = noise(16, 16, dtype=dtype)
    image = open_native(written(values, photometric="minisblack"))
    assert image.facts.type == image.values().dtype == kept
    assert np.array_equal(image.values()[..., 0], values * (255 if dtype == "bool" else 1))


def test_complex_numbers_are_refused():
    with pytest.raises(Unreadable, match="complex64"):
        open_native(written(np.zeros((8, 8), np.complex64)))


def test_opacity_is_no_band_and_a_fourth_band_is():
    rgba = written(noise(16, 16, 4, dtype=np.uint8), photometric="rgb", extrasamples=["unassalpha"])
    four = written(noise(16, 16, 4, dtype=np.uint8), photometric="rgb", extrasamples=["unspecified"])
    assert open_native(rgba).facts.bands == 3
    assert open_native(rgba).facts.colour
    assert open_native(four).facts.bands == 4
    assert not open_native(four).facts.colour


def test_white_may_be_zero_and_pixels_may_lie_on_their_side():
    values = noise(16, 24)
    assert np.array_equal(open_native(written(values, photometric="miniswhite")).values()[..., 0], 65535 - values)
    turned = open_native(written(values, extratags=[(274, "H", 1, 6, True)]))
    assert (turned.facts.width, turned.facts.height) == (16, 24)
    assert np.array_equal(turned.values()[..., 0], np.rot90(values, -1))


def test_what_wrote_a_file_and_its_value_for_nothing_are_told():
    geo = written(noise(16, 16), extratags=[(42113, "s", 0, "-9999", True), (33550, "d", 3, (1.0, 1.0, 0.0), True)])
    assert open_native(geo).facts.no_data == -9999
    ome = written(noise(3, 16, 16), ome=True, metadata={"axes": "CYX"}, photometric="minisblack")
    assert (open_native(ome).facts.bands, open_native(ome).facts.container) == (3, "OME-TIFF")


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_channels_are_bands_and_slices_are_pages(kind):
    stack = noise(5, 2, 16, 20)
    image = open_native(written(stack, **{kind: True}, metadata={"axes": "ZCYX"}, photometric="minisblack"))
    assert (image.pages, image.facts.bands) == (5, 2)
    assert np.array_equal(image.values(3), stack[3].transpose(1, 2, 0))


def test_pages_of_a_plain_file_are_pages():
    stack = noise(5, 16, 20)
    image = open_native(written(stack, photometric="minisblack"))
    assert (image.pages, image.facts.bands) == (5, 1)
    assert np.array_equal(image.values(4)[..., 0], stack[4])


def test_a_broken_file_is_called_what_it_is():
    raw = written(noise(64, 64, 12), photometric="minisblack", planarconfig="contig")
    for cut in (10, 200, len(raw) // 2):
        with pytest.raises(Unreadable, match="TIFF"):
            open_native(raw[:cut]).values()
    with pytest.raises(Unreadable, match="no photograph"):
        decode(raw)


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_of_a_stack_that_lies_in_the_file_as_it_is_no_more_is_read_than_is_asked_for(tmp_path, kind, monkeypatch):
    stack = noise(5, 3, 40, 48)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, stack, **{kind: True}, metadata={"axes": "ZCYX"}, photometric="minisblack")
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", None)  # it would read all
    for file in (str(path), path.read_bytes()):
        image = Tiff(file)
        assert image.pages == 5
        assert image.values(3).dtype == np.uint16
        assert np.array_equal(image.values(3), stack[3].transpose(1, 2, 0))
        assert np.array_equal(image.window(2, (10, 20, 16, 24)), stack[2, :, 10:26, 20:44].transpose(1, 2, 0))
