import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pytest
import torch

from moco.arguments import fits, of_its_types, refuse_other_types, wanted, words
from moco.errors import MocoError


class Speaker(Protocol):
    def say(self) -> None: ...


@pytest.mark.parametrize(
    ("kind", "yes", "no"),
    [
        (int, [0, -3], [True, 1.0, "1", None]),
        (float, [0, 1.5], [False, "1", None]),
        (bool, [True], [1, 0.0]),
        (str | os.PathLike[str] | None, ["a", None], [3, ["a"]]),
        (Literal["a", 1], ["a", 1], ["b", True, 1.0]),
        (tuple[float, float], [(0.1, 1)], [[0.1, 1], (0.1,), (0.1, "1"), 0.1]),
        (tuple[int, ...], [(), (1, 2)], [[1], (1.5,), 1]),
        (Sequence[str], [["a"], (), ("a", "b")], ["a", [1], 3]),
        (dict[str, Any], [{}, {"a": 1}], [[], None]),
        (Mapping[str, float], [{}], [3]),
        (Callable[[int], None], [print], [3]),
        (Speaker, [3, None], []),
        (Any, [3, None], []),
    ],
)
def test_a_value_fits_its_annotation_or_it_does_not(kind, yes, no):
    assert all(fits(kind, value) for value in yes)
    assert not any(fits(kind, value) for value in no)


def test_an_argument_of_another_type_is_refused_and_what_is_right_goes_through():
    @of_its_types("free")
    def measure(path: str | os.PathLike[str], k: int = 3, *, how: Literal["mean", "sum"] = "mean", free: int = 0):
        return f"{path} {k} {how}"

    assert measure("a", how="sum", free="looked at within") == "a 3 sum"
    with pytest.raises(MocoError, match=r"^moco.measure: path is 3; give text or a path$"):
        measure(3)
    with pytest.raises(MocoError, match=r"^moco.measure: k is 'x'; give a whole number$"):
        measure("a", "x")
    with pytest.raises(MocoError, match=r"^moco.measure: how is 'most'; give one of 'mean', 'sum'$"):
        measure("a", how="most")
    with pytest.raises(TypeError, match="missing"):
        measure()


def test_fields_are_looked_at_in_parts_of_parts():
    @dataclass(frozen=True)
    class Inner:
        of_it: float = 0.1

    @dataclass(frozen=True)
    class Outer:
        inner: Inner

    Outer.__annotations__["inner"] = Inner
    Inner.__annotations__["of_it"] = float
    refuse_other_types(Outer(Inner()), "--")
    with pytest.raises(MocoError, match=r"^--inner.of-it is 'x'; give a number$"):
        refuse_other_types(Outer(Inner("x")), "--")
    with pytest.raises(MocoError, match=r"^--inner is None; give an Inner$"):
        refuse_other_types(Outer(None), "--")


def test_words_are_those_of_a_sentence():
    assert words(torch.zeros(2, 3)) == "a tensor of 2 x 3, float32, on cpu"
    assert words(np.zeros((2, 3))) == "a ndarray of 2 x 3"
    assert words(torch.tensor(1)) == "a tensor of no dimensions, int64, on cpu"
    assert words([1]) == "a list"
    assert words("x" * 99) == "'" + "x" * 59
    assert wanted(tuple[float, float]) == "a tuple of 2 values"
    assert wanted(tuple[int, ...] | None) == "a tuple, each a whole number or None"
    assert wanted(Sequence[str] | dict[str, int]) == "a list, each text or a dict"
    assert wanted(Callable[[int], None]) == "a function"
