"""Folders of .npy: each an image of any bands and type, as NumPy writes it."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from moco.data.archive import Archive
from moco.data.compact import compact_bands
from moco.data.decide import decide
from moco.data.decode import decode
from moco.data.folder import Folder
from moco.data.left_out import tally
from moco.data.native import open_native
from moco.data.seen import seen
from moco.data.source import Unreadable
from moco.data.survey import survey

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def written(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def noise(*shape, dtype=np.uint16):
    return RANDOM.integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "axes"), [((16, 20), None), ((16, 20, 5), (0, 1, 2)), ((5, 16, 20), (1, 2, 0)), ((16, 20, 1), (0, 1, 2))]
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_an_array_is_an_image_with_its_bands_last(shape, axes, dtype):
    values = noise(*shape, dtype=dtype)
    image = open_native(written(values))
    expected = values[..., None] if axes is None else values.transpose(axes)
    assert (image.facts.width, image.facts.height, image.facts.bands) == (20, 16, expected.shape[2])
    assert np.array_equal(image.values(), expected)
    assert np.array_equal(open_native(written(np.asfortranarray(values))).values(), expected)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (written(np.zeros(512)), "an array of shape 512: an image is"),
        (written(noise(16, 16))[:-9], "NumPy"),
        (written(np.array([[{}] * 8] * 8, dtype=object)), "not real numbers"),
        (b"\x93NUMPY\x01\0", "NumPy"),
    ],
    ids=["features", "cut", "objects", "no header"],
)
def test_what_is_no_image_says_why(raw, reason):
    with pytest.raises(Unreadable, match=reason):
        open_native(raw).values()


def test_a_folder_and_an_archive_of_arrays_are_learnt_from(tmp_path):
    (tmp_path / "x").mkdir()
    images = [noise(16, 16, 7) for _ in range(4)]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for i, image in enumerate(images):
            (tmp_path / "x" / f"{i}.npy").write_bytes(written(image))
            archive.writestr(f"{i}.npy", written(image))
    for source in (Folder(tmp_path / "x"), Archive(tmp_path / "x.zip")):
        found = decide(source, survey(source))
        assert found.pixels.channels == 7
        assert np.array_equal(decode(seen(source, found.pixels).raw(2)), images[2])


def test_arrays_beside_photographs_are_their_features_and_left_out(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.npy").write_bytes(written(np.zeros(512)))
    assert tally(Folder(tmp_path)) == "1 image read; left out: 1 .npy"


def test_an_array_of_three_bands_of_8_bits_is_a_photograph():
    values = noise(16, 16, 3, dtype=np.uint8)
    assert np.array_equal(decode(written(values)), values)


def test_packed_arrays_become_tiffs():
    pytest.importorskip("tifffile")
    values = noise(16, 16, 5)
    packed, suffix = compact_bands(written(values), 256)
    assert suffix == "tiff"
    assert np.array_equal(open_native(packed).values(), values)
