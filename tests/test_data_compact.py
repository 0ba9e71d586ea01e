"""Images that are no photographs are packed with all their bands and bits."""

import numpy as np
import pytest
import tifffile

from moco.commands.pack import Packing, pack
from moco.data.compact import as_tiff, compact_bands
from moco.data.decide import decide
from moco.data.decode import decode
from moco.data.folder import Folder
from moco.data.native import open_native
from moco.data.open import open_source
from moco.data.seen import seen
from moco.data.survey import survey

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("shape", [(20, 24, 1), (20, 24, 4), (20, 24, 12)])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
def test_nothing_is_lost_in_a_tiff(shape, kind):
    values = (RANDOM.random(shape) * 200).astype(kind)
    image = open_native(as_tiff(values, -9999))
    assert image.facts.no_data == -9999
    assert np.array_equal(image.values(), values)


def test_a_large_image_is_averaged_down_in_its_own_bands_and_type():
    values = RANDOM.integers(0, 4000, (64, 96, 5)).astype(np.uint16)
    content, suffix = compact_bands(values, 32)
    small = open_native(content).values()
    assert (suffix, small.shape, small.dtype) == ("tiff", (32, 48, 5), np.uint16)
    means = values.reshape(32, 2, 48, 2, 5).mean(axis=(1, 3))
    assert np.abs(small - means).max() <= 1


def test_packed_shards_are_read_as_the_folder_is(tmp_path):
    for i in range(6):
        tifffile.imwrite(
            tmp_path / f"{i}.tif",
            RANDOM.integers(0, 4000, (24, 32, 4)).astype(np.uint16),
            photometric="minisblack",
            planarconfig="contig",
        )
    folder = Folder(tmp_path)
    packed = pack(tmp_path, tmp_path / "out", Packing(short_side=256))
    assert (packed.images, packed.skipped) == (6, [])
    shards = open_source(tmp_path / "out")
    made = decide(folder, survey(folder))
    assert decide(shards, survey(shards)).pixels == made.pixels
    for i in range(6):
        a, b = (decode(seen(source, made.pixels).raw(i)) for source in (folder, shards))
        assert np.array_equal(a, b)
