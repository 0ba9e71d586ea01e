"""Black and white of a data set by the window that its files tell, as DICOM's do."""

from dataclasses import replace

import numpy as np
import pytest

from moco.data.measure import measure
from moco.data.ranged import other_windows, ranged
from moco.data.values import Facts
from moco.errors import MocoError
from moco.recipe.pixels import Pixels

ROUGH = Pixels(kind="float32", black=(0.0,), white=(1.0,))
FOUND = measure([np.linspace(-1000, 2000, 4096, dtype=np.float32).reshape(64, 64, 1)], None)
PLAIN = Facts(64, 64, 1, "float32")


def looks(*windows):
    return [replace(PLAIN, window=window) for window in windows]


def test_a_window_that_the_files_tell_alike_is_the_range():
    pixels, why = ranged(ROUGH, FOUND, None, looks(*[(-160.0, 240.0)] * 9, None))
    assert (pixels.black, pixels.white) == ((-160.0,), (240.0,))
    assert why == "the window that the files tell"
    assert other_windows(pixels, looks((-160.0, 240.0))) == ""


def test_windows_of_each_image_s_own_are_not_taken_unless_asked_for():
    own = looks((-160.0, 240.0), (-100.0, 300.0), (-900.0, 500.0))
    pixels, why = ranged(ROUGH, FOUND, None, own)
    assert "percentiles" in why
    assert "tell 3 windows" in other_windows(pixels, own)
    pixels, why = ranged(ROUGH, FOUND, "window", own)
    assert (pixels.black, pixels.white) == ((-160.0,), (300.0,))
    assert why == "the middle of the windows that 3 of 3 files tell, as asked"


def test_what_is_asked_for_comes_before_a_window():
    told = looks((-160.0, 240.0))
    assert ranged(ROUGH, FOUND, "0,100", told)[0].white == (100.0,)
    assert "as asked" in ranged(ROUGH, FOUND, "percentile", told)[1]
    with pytest.raises(MocoError, match="--range window: no file looked at tells a window"):
        ranged(ROUGH, FOUND, "window", looks(None))
