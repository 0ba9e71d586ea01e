"""Images of any bands as pictures for a person."""

import numpy as np
import pytest
import tifffile

from moco.data.folder import Folder
from moco.data.picture import picture, picture_of, shown_words
from moco.recipe import Pixels

RANDOM = np.random.default_rng(0)


def test_photographs_and_gray_of_8_bits_stay_as_they_are():
    rgb = RANDOM.integers(0, 255, (8, 9, 3)).astype(np.uint8)
    assert np.array_equal(picture(rgb), rgb)
    assert np.array_equal(picture(rgb[..., :1]), rgb[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 12])
def test_other_bands_are_stretched_each_by_itself(channels):
    values = RANDOM.normal(-12, 3, (32, 32, channels)).astype(np.float32) * np.arange(1, channels + 1)
    values[0, 0] = 1e6  # one value does not darken the rest
    shown = picture(values)
    assert shown.shape == (32, 32, 3)
    assert shown.dtype == np.uint8
    assert all(shown[..., c].std() > 40 for c in range(min(channels, 3)))
    assert channels != 2 or not shown[..., 2].any()


def test_which_bands_are_shown_is_said():
    five = Pixels(bands=(0, 3, 7, 8, 9), of=12, black=(0.0,) * 5, white=(255.0,) * 5)
    assert "band 0 as red, band 3 as green, band 7 as blue" in shown_words(five)
    assert "in gray" in shown_words(Pixels(kind="uint16"))
    assert shown_words(None) == shown_words(Pixels()) == ""


def test_a_file_of_bands_has_a_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    values = RANDOM.integers(0, 4000, (12, 20, 7)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
    assert picture_of(Folder(tmp_path), 0).shape == (12, 20, 3)
