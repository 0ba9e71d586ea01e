"""Demo: the digits that come with the package are split by digit and drawn the same every time."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from moco.data.demo import Demo
from moco.data.open import open_labelled
from moco.errors import MocoError


@pytest.fixture(scope="module")
def demo() -> Demo:
    return Demo()


def digits(source: Demo) -> set[str]:
    return {source.name(i).rsplit("-drawing")[0] for i in range(len(source))}


def test_no_digit_is_both_learnt_from_and_judged(demo: Demo) -> None:
    test, train, validation = Demo("test"), Demo("train"), Demo("validation")
    assert [len(s) for s in (demo, test, train, validation)] == [11200, 3176, 9600, 1600]
    assert len(digits(demo)) == 1400
    assert not digits(demo) & digits(test)
    assert len(digits(demo) | digits(test)) == 1797
    assert not digits(train) & digits(validation)
    assert digits(train) | digits(validation) == digits(demo)


def test_drawings_are_white_ink_on_black_and_no_two_alike(demo: Demo) -> None:
    drawings = np.stack([demo.raw(i) for i in range(800)])
    assert drawings.shape == (800, 32, 32, 3)
    assert drawings.dtype == np.uint8
    assert (drawings[..., 0] == drawings[..., 2]).all()
    assert drawings.max() == 255
    assert 10 < drawings.mean() < 60
    assert len({drawing.tobytes() for drawing in drawings}) == 800
    assert (drawings.reshape(800, -1).sum(1) > 10000).all()


def test_a_drawing_depends_on_its_digit_and_number_alone(demo: Demo) -> None:
    part = pickle.loads(pickle.dumps(Demo("validation")))
    assert part.name(77) == demo.name(9600 + 77)
    assert np.array_equal(part.raw(77), demo.raw(9600 + 77))
    assert demo.name(77).startswith("digit-")
    assert demo.name(77).endswith("-drawing-5")


def test_eight_drawings_share_the_label_of_their_digit(demo: Demo) -> None:
    labels = [demo.label(i) for i in range(len(demo))]
    assert set(labels) == set("0123456789")
    assert all(len(set(labels[i : i + 8])) == 1 for i in range(0, len(labels), 8))


def test_it_knows_how_it_wants_to_be_learnt(demo: Demo) -> None:
    assert (demo.hints.views, demo.hints.steps) == ("documents", 640)


def test_judging_takes_the_part_that_was_held_back() -> None:
    for data, judged, bank in (("demo", 3176, 11200), ("demo:test", 3176, 11200), ("demo:validation", 1600, 9600)):
        labelled = open_labelled(data)
        assert labelled.bank is not None
        assert (len(labelled.labels), len(labelled.bank.labels)) == (judged, bank)
        assert labelled.classes == labelled.bank.classes == tuple("0123456789")


def test_another_part_is_refused() -> None:
    with pytest.raises(MocoError, match="demo:validation and demo:test"):
        Demo("tset")
