"""TIFF in its simplest form: read as tifffile reads it, or left to it."""

import io

import numpy as np
import pytest
import tifffile

from moco.data.native import open_native
from moco.data.source import Unreadable
from moco.data.tiff import Tiff
from moco.data.tiff_plain import PlainTiff, open_plain

GEO = [(34735, "H", 4, (1, 1, 0, 0), True), (33550, "d", 3, (10.0, 10.0, 0.0), True), (42113, "s", 0, "-9999", True)]


def written(values, **how):
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric=how.pop("photometric", "minisblack"), **how)
    return file.getvalue()


def noise(*shape, dtype="uint16"):
    return (np.random.default_rng(0).random(shape) * 200).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((20, 31), {}),
        ((20, 31), {"rowsperstrip": 3, "metadata": None, "extratags": GEO}),
        ((20, 31, 3), {"photometric": "rgb"}),
        ((20, 31, 5), {"planarconfig": "contig", "metadata": None, "software": False}),
        ((5, 20, 31), {"planarconfig": "separate", "rowsperstrip": 7}),
    ],
    ids=["gray", "GeoTIFF", "colour", "pixels", "planes"],
)
def test_what_is_read_from_the_directory_alone_is_what_tifffile_reads(dtype, byteorder, shape, how):
    raw = written(noise(*shape, dtype=dtype), byteorder=byteorder, **how)
    ours, theirs = open_native(raw), Tiff(raw)
    assert isinstance(ours, PlainTiff)
    assert ours.facts == theirs.facts
    assert ours.values().dtype == theirs.values().dtype
    assert np.array_equal(ours.values(), theirs.values())
    assert np.array_equal(ours.window(0, (2, 3, 9, 8)), theirs.window(0, (2, 3, 9, 8)))


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "deflate"},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"photometric": "miniswhite"},
        {"ome": True},
        {"imagej": True},
        {"description": "Aperio Image Library"},
        {"software": "SI.LSM"},
        {"extratags": [(274, "H", 1, 6, True)]},
        {"extrasamples": ["unassalpha"], "shape": (20, 32, 2), "planarconfig": "contig"},
        {"shape": (3, 20, 32)},
    ],
    ids=lambda how: "-".join(how),
)
def test_whatever_says_more_is_left_to_tifffile(how):
    how = dict(how)
    raw = written(noise(*how.pop("shape", (20, 32))), **how)
    assert open_plain(raw) is None
    assert open_native(raw).facts == Tiff(raw).facts


def test_a_file_that_ends_early_or_is_cut_anywhere_is_not_taken_for_a_whole_one():
    raw = written(noise(20, 31), metadata=None)
    assert open_plain(raw) is not None
    assert all(open_plain(raw[:end]) is None for end in range(0, len(raw), 7))
    with pytest.raises(Unreadable):
        open_native(raw[:-40]).values()


def test_a_damaged_directory_is_left_to_tifffile():
    raw = written(noise(20, 31), metadata=None)
    rng, left = np.random.default_rng(0), 0
    for _ in range(300):
        bad = bytearray(raw)
        for place in rng.integers(4, 220, 3):
            bad[place] = rng.integers(256)
        plain = open_plain(bytes(bad))  # raises nothing
        left += plain is None
        assert plain is None or plain.window(0, (0, 0, 20, 31)).nbytes <= len(raw)
    assert left > 100
