"""What is searched: ranges as written, drawn on a fitting scale."""

import pytest

from moco.errors import MocoError
from moco.recipe import cifar, end_to_end, override
from moco.tune.space import Choices, Range, describe, draw_changes, parse_search, usual_search


class Lowest:
    """Draws the low end, and remembers what it was asked for."""

    def __init__(self):
        self.asked = {}

    def suggest_float(self, name, low, high, *, log=False):
        self.asked[name] = (low, high, log)
        return low

    suggest_int = suggest_float

    def suggest_categorical(self, name, choices):
        self.asked[name] = tuple(choices)
        return choices[0]


def test_a_momentum_is_drawn_by_its_distance_from_one():
    draws = Lowest()
    changes = draw_changes([parse_search("keys.m=0.9..0.999", cifar())], draws)
    assert changes == {"keys.m": 0.999}
    low, high, log = draws.asked["1 - keys.m"]
    assert (low, high) == (pytest.approx(0.001), pytest.approx(0.1))
    assert log


def test_wide_ranges_are_logarithmic_and_narrow_ones_even():
    assert parse_search("optim.lr=0.01..0.3", cifar()).log
    assert not parse_search("optim.momentum=0.8..0.95", cifar()).log
    assert "logarithmic" in describe(Range("optim.lr", 0.01, 0.3))


def test_whole_numbers_stay_whole_and_values_keep_their_kind():
    draws = Lowest()
    changes = draw_changes([parse_search("dictionary.size=512..8192", cifar())], draws)
    assert changes == {"dictionary.size": 512}
    assert parse_search("loss.symmetric=true,false", cifar()) == Choices("loss.symmetric", (True, False))
    assert parse_search("--encoder.head-layers=1,2", cifar()) == Choices("encoder.head_layers", (1, 2))
    override(cifar(), changes)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("keys.mm=0.1..0.2", "no field 'keys.mm'"),
        ("optim.lr=0.3..0.1", "must rise"),
        ("optim.lr=low..high", "'low' is not of the kind"),
        ("optim.lr=", "give a range"),
        ("encoder.backbone=0..1", "is no number"),
        ("epochs=1..9", "one length"),
    ],
)
def test_what_cannot_be_searched_is_a_sentence(text, why):
    with pytest.raises(MocoError, match=why):
        parse_search(text, cifar())


def test_the_usual_search_leaves_out_what_a_recipe_does_not_have():
    assert [s.field for s in usual_search(cifar(), 50_000)] == [
        "keys.m",
        "dictionary.size",
        "loss.temperature",
        "optim.lr",
    ]
    assert [s.field for s in usual_search(end_to_end(), 50_000)] == ["loss.temperature", "optim.lr"]
