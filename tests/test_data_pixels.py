"""Pixels of any depth become 8 bits, and none is cut off."""

from __future__ import annotations

import numpy as np
import pytest

from moco.data.pixels import deep_to_8_bits, to_8_bits, to_rgb, white_of


def test_16_bits_are_divided_by_257_exactly_over_the_whole_range() -> None:
    values = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(to_8_bits(values, 0, 65535), np.rint(values / 257).astype(np.uint8))


def test_white_is_the_smallest_depth_that_holds_the_largest_value() -> None:
    largest = (0, 255, 256, 4095, 4096, 65535, 70000)
    assert [white_of(v) for v in largest] == [255, 255, 4095, 4095, 65535, 65535, 70000]


def test_an_image_of_one_value_is_read() -> None:
    assert deep_to_8_bits(np.zeros((4, 4), np.int32)).max() == 0
    assert deep_to_8_bits(np.full((4, 4), -5, np.int32)).max() == 0


def test_what_is_not_finite_is_refused() -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            deep_to_8_bits(np.array([[0.0, value]]))


def test_an_opaque_image_is_not_changed_by_its_opacity() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 4)).astype(np.uint8)
    pixels[:, :, 3] = 255
    assert np.array_equal(to_rgb(pixels), pixels[:, :, :3])
