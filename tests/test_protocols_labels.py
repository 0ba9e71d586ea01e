"""Which images have labels: a function of seed and names, fair to each class."""

import numpy as np
import pytest

from moco.errors import MocoError
from moco.protocols.labels import PerClass, Share, draw_labels, name_keys, read_amount, spare

LABELS = np.array([0] * 50 + [1] * 5 + [2] * 200)


class Named:
    def __init__(self, names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def name(self, i):
        return self.names[i]


KEYS = name_keys(Named([f"{n}.jpg" for n in range(len(LABELS))]))


@pytest.mark.parametrize(
    ("text", "counts"),
    [("8", [8, 5, 8]), ("1", [1, 1, 1]), ("10%", [5, 1, 20]), ("1%", [1, 1, 2]), ("100%", [50, 5, 200])],
)
def test_each_class_gives_its_share_or_number_and_at_least_one_image(text, counts):
    assert np.bincount(LABELS[draw_labels(LABELS, KEYS, read_amount(text), 0, 0)]).tolist() == counts


def test_a_draw_is_a_function_of_seed_and_names_and_not_of_the_order_of_the_images():
    order = np.random.default_rng(0).permutation(len(LABELS))
    for amount in (PerClass(3), Share(0.1)):
        chosen = draw_labels(LABELS, KEYS, amount, seed=4, number=1)
        shuffled = draw_labels(LABELS[order], KEYS[order], amount, seed=4, number=1)
        assert set(order[shuffled]) == set(chosen)
        assert set(chosen) != set(draw_labels(LABELS, KEYS, amount, seed=4, number=2))
        assert set(chosen) != set(draw_labels(LABELS, KEYS, amount, seed=5, number=1))
    held, mixed = spare(LABELS, KEYS, 0.2, 0), spare(LABELS[order], KEYS[order], 0.2, 0)
    assert (held[order] == mixed).all()


def test_a_larger_amount_contains_a_smaller_one():
    few, more = (set(draw_labels(LABELS, KEYS, PerClass(n), 0, 0)) for n in (3, 30))
    assert few < more


def test_every_image_is_drawn_equally_often():
    labels, keys = LABELS[:50], KEYS[:50]
    times = np.bincount(
        np.concatenate([draw_labels(labels, keys, PerClass(10), 0, n) for n in range(400)]), minlength=50
    )
    assert times.sum() == 4000
    assert abs(times - 80).max() < 5 * np.sqrt(400 * 0.2 * 0.8), "five standard deviations of a fair draw"


def test_what_is_held_back_leaves_an_image_of_each_class():
    held = spare(LABELS, KEYS, 0.2, 0)
    assert np.bincount(LABELS[held]).tolist() == [10, 1, 40]
    assert not spare(np.arange(5), KEYS[:5], 0.2, 0).any()
    assert spare(np.array([0, 0, 1, 1]), KEYS[:4], 0.9, 0).sum() == 2


@pytest.mark.parametrize("text", ["0", "-1", "0%", "101%", "ten", "1.5", "", "%", "nan%"])
def test_other_amounts_are_refused(text):
    with pytest.raises(MocoError, match="--few"):
        read_amount(text)
