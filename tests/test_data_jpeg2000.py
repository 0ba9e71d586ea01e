"""JPEG 2000 beyond photographs: nothing is cut down to 8 bits, no band is taken for opacity."""

import io

import numpy as np
import pytest
from PIL import Image

from moco.data.decode import decode
from moco.data.jpeg2000 import size_of
from moco.data.native import open_native
from moco.data.source import Unreadable

imagecodecs = pytest.importorskip("imagecodecs")
RANDOM = np.random.default_rng(0)


def written(values, codec="jp2", **how):
    return bytes(imagecodecs.jpeg2k_encode(values, codecformat=codec, level=0, reversible=True, **how))


def noise(*shape, dtype=np.uint16, most=60000):
    return RANDOM.integers(0, most, shape).astype(dtype)


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("shape", [(32, 40), (32, 40, 3), (32, 40, 4)])
def test_16_bits_are_16_bits_in_any_number_of_bands(shape, codec):
    values = noise(*shape)
    image = open_native(written(values, codec))
    assert (image.facts.width, image.facts.height, image.facts.type) == (40, 32, "uint16")
    assert image.facts.bands == (1 if len(shape) == 2 else shape[2])
    assert np.array_equal(image.values(), values.reshape(32, 40, -1))


def test_12_bits_say_what_is_white():
    values = noise(32, 40, most=4096)
    image = open_native(written(values, bitspersample=12))
    assert image.facts.white == 4095
    assert np.array_equal(image.values()[..., 0], values)


def test_four_bands_of_8_bits_are_no_photograph_with_opacity():
    raw = written(noise(32, 40, 4, dtype=np.uint8, most=255))
    assert open_native(raw).facts.bands == 4
    with pytest.raises(Unreadable, match="4 bands are no photograph"):
        decode(raw)


def test_photographs_are_read_as_ever():
    values = noise(32, 40, 3, dtype=np.uint8, most=255)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG2000", irreversible=False)
    assert size_of(file.getvalue()).plain
    assert np.array_equal(decode(file.getvalue()), values)
    deep = decode(written(noise(32, 40, 3)))
    assert (deep.shape, deep.dtype) == ((32, 40, 3), np.uint8)


def test_a_broken_one_is_called_what_it_is():
    raw = written(noise(64, 64, 3))
    for cut in (30, len(raw) // 2):
        with pytest.raises(Unreadable, match="JPEG 2000"):
            open_native(raw[:cut]).values()
