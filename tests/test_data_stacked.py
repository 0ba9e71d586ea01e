"""A band per file: images are put together from what their files are called."""

import numpy as np
import pytest
import tifffile

from moco.data.decide import decide
from moco.data.decode import decode
from moco.data.open import open_source
from moco.data.seen import seen
from moco.data.source import Unreadable
from moco.data.survey import survey
from moco.errors import MocoError

RANDOM = np.random.default_rng(0)
BANDS = ("B2", "B3", "B8", "B10")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def scenes(tmp_path):
    """Three scenes of four bands: two folders of bands, and bands beside each other."""
    images = {}
    for scene in ("north/", "south/", "east/x_"):
        values = RANDOM.integers(0, 3000, (16, 20, 4)).astype(np.uint16)
        for band, plane in zip(BANDS, values.transpose(2, 0, 1), strict=True):
            path = tmp_path / f"{scene}{band}.tif"
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, plane)
        images[scene] = values
    (tmp_path / "north" / "notes.txt").write_text("x")
    return tmp_path, images


def test_files_become_the_bands_of_an_image_in_the_order_of_their_numbers(scenes):
    folder, images = scenes
    source = open_source(f"stack:B{{band}}.tif:{folder}")
    assert source.bands == ["2", "3", "8", "10"]
    assert "3 images of 4 bands (2, 3, 8, 10)" in source.description
    assert source.others == ["north/notes.txt"]
    found = decide(source, survey(source))
    assert found.pixels.channels == 4
    for i, values in enumerate((images["east/x_"], images["north/"], images["south/"])):
        assert np.array_equal(decode(seen(source, found.pixels).raw(i)), values)
    assert [source.label(i) for i in range(3)] == ["east", "north", "south"]


def test_what_does_not_fit_together_is_named_with_its_reason(scenes):
    folder, _ = scenes
    (folder / "north" / "B3.tif").unlink()
    tifffile.imwrite(folder / "south" / "B8.tif", np.zeros((8, 10), np.uint16))
    tifffile.imwrite(folder / "east" / "x_B2.tif", np.zeros((16, 20), np.float32))
    source = open_source(f"stack:B{{band}}.tif:{folder}")
    for i, reason in enumerate(("bands of several types", "band 3 missing", "20 x 16 .* 10 x 8 .band 8.; resample")):
        with pytest.raises(Unreadable, match=reason):
            source.native(i)


@pytest.mark.parametrize("pattern", ["B.tif", "{band}/{band}.tif", "C{band}.tif"])
def test_a_pattern_that_names_no_bands_is_refused_with_the_flag(scenes, pattern):
    with pytest.raises(MocoError, match="--stack"):
        open_source(f"stack:{pattern}:{scenes[0]}")
    with pytest.raises(MocoError, match="is no folder"):
        open_source("stack:B{band}.tif:/nowhere")
