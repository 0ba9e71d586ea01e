"""A camera's raw data: told from other TIFFs, and developed the same way in every image."""

import io

import numpy as np
import pytest
import tifffile

from moco.data import formats
from moco.data.camera import is_camera_raw
from moco.data.content import kind_of, not_an_image
from moco.data.decide import decide
from moco.data.decode import decode
from moco.data.folder import Folder
from moco.data.native import open_native
from moco.data.source import Unreadable
from moco.data.survey import survey

SAME = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)
"""A colour matrix that changes nothing, as nine fractions."""


def dng(sensor, flip=1):
    """A DNG of what a sensor with a Bayer pattern measured, with 12 bits, as tifffile writes it."""
    tags = [
        (33421, "H", 2, (2, 2), True),  # the pattern: red, green, green, blue
        (33422, "B", 4, b"\0\1\1\2", True),
        (50706, "B", 4, b"\1\4\0\0", True),
        (50707, "B", 4, b"\1\1\0\0", True),
        (50708, "s", 0, "Test Camera", True),
        (50714, "H", 1, 0, True),  # black
        (50717, "H", 1, 4095, True),  # white
        (50721, "2i", 9, SAME, True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),  # the light is white
        (50778, "H", 1, 21, True),
        (271, "s", 0, "Test", True),
        (272, "s", 0, "Camera", True),
        (274, "H", 1, flip, True),
    ]
    file = io.BytesIO()
    tifffile.imwrite(file, sensor.astype(np.uint16), photometric=32803, extratags=tags, metadata=None, software=False)
    return file.getvalue()


def halves(dark=400, light=1600):
    """A gray scene, dark above and light below."""
    sensor = np.full((64, 80), dark)
    sensor[32:] = light
    return sensor


def srgb(share):
    return 12.92 * share if share < 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055


def test_a_dng_is_told_from_a_tiff_by_its_first_bytes():
    raw = dng(halves())
    assert kind_of(raw) == kind_of(raw[:512]) == "camera RAW"
    plain = io.BytesIO()
    tifffile.imwrite(plain, np.zeros((16, 16), np.uint16), extratags=[(271, "s", 0, "NIKON CORPORATION", True)])
    assert kind_of(plain.getvalue()) == "TIFF"
    for start in (b"II*\0\x10\0\0\0CR\2\0", b"FUJIFILMCCD-RAW 0201", b"\0\0\0\x18ftypcrx \0\0\0\1", b"IIU\0\x18\0\0\0"):
        assert is_camera_raw(start)
    for start in (b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff"):
        assert not is_camera_raw(start)


def test_a_sensor_s_values_are_developed_to_srgb_with_nothing_made_brighter():
    pytest.importorskip("rawpy")
    image = open_native(dng(halves()))
    assert (image.facts.width, image.facts.height, image.facts.type, image.facts.bands) == (80, 64, "uint16", 3)
    values = image.values()
    assert (values.shape, values.dtype) == ((64, 80, 3), np.uint16)
    for row, measured in ((12, 400), (52, 1600)):
        assert values[row, 40] / 65535 == pytest.approx(srgb(measured / 4095), abs=0.01)
    other = open_native(dng(halves(light=800))).values()
    assert np.abs(other[12, 40].astype(int) - values[12, 40]).max() < 200, "an image's own brightness changes nothing"


def test_a_camera_that_was_turned_gives_an_upright_image():
    pytest.importorskip("rawpy")
    image = open_native(dng(halves(), flip=6))
    assert (image.facts.width, image.facts.height) == (64, 80)
    assert image.values().shape == (80, 64, 3)


def test_a_folder_of_them_is_learnt_from_in_16_bits_and_in_colour(tmp_path, monkeypatch):
    pytest.importorskip("rawpy")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "x").mkdir()
    for i in range(3):
        (tmp_path / "x" / f"{i}.dng").write_bytes(dng(halves(dark=200 + 100 * i)))
    source = Folder(tmp_path / "x")
    found = decide(source, survey(source)).pixels
    assert (found.colour, found.kind, found.white) == ("rgb", "uint16", (65535.0,) * 3)


def test_among_photographs_it_is_one_by_the_sensor_s_white():
    pytest.importorskip("rawpy")
    pixels = decode(dng(halves()))
    assert pixels.dtype == np.uint8
    assert pixels[12, 40] / 255 == pytest.approx(srgb(400 / 4095), abs=0.01)


def test_what_would_read_it_is_said_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(formats.Format, "read", property(lambda self: False))
    assert not_an_image(dng(halves())) == f"camera RAW: {formats.INSTALL} reads it"


def test_a_broken_one_is_called_what_it_is():
    pytest.importorskip("rawpy")
    with pytest.raises(Unreadable, match="camera RAW"):
        open_native(dng(halves())[:400]).values()
