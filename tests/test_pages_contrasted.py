"""What a report says of a run's queries and images fits the parts of its recipe."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from moco.pages.contrasted import seen_words
from moco.pages.curves import curves
from moco.recipe import Grouped, Recipe, image_text, memory_bank, override, simclr, v2, v3_small


def readings(recipe: Recipe, chance: float) -> dict[str, str]:
    rows = [
        {"step": step, "loss": 1.0, "chance": chance, "accuracy": 0.5, "positive": 0.5, "negative": 0.1}
        for step in (1, 10)
    ]
    return {curve.title: curve.reading for group in curves(rows, recipe) for curve in group.curves}


def grouped(positives: int) -> Recipe:
    return replace(v2(), groups=Grouped(positives=positives))


@pytest.mark.parametrize(
    ("recipe", "negatives", "words"),
    [
        (v2(), 65536, "cannot tell its own key from the 65,536 negatives beside it, ln(1 + 65,536)"),
        (v3_small(), 255, "cannot tell its own key from the 255 keys of the other images of its batch, ln(1 + 255)"),
        (simclr(), 510, "the 510 views of the other images of its batch"),
        (grouped(1), 65536, "cannot tell the other image of its group from the 65,536 negatives"),
        (
            grouped(4),
            65536,
            "cannot tell one of the 4 images of its group from the 65,536 negatives beside it, ln(4",
        ),
        (image_text(), 65536, "cannot tell what it is paired with (a caption, or an image) from the 65,536 negatives"),
    ],
)
def test_guessing_is_told_in_the_words_of_the_recipe(recipe: Recipe, negatives: int, words: str) -> None:
    assert words in readings(recipe, math.log(recipe.positives + negatives))["Loss"]


def test_without_a_queue_nothing_is_said_of_random_vectors_and_dips_are_explained() -> None:
    of_queue, of_batch = (readings(r, math.log(256))["Contrast accuracy"] for r in (v2(), v3_small()))
    assert "Against random vectors" in of_queue
    assert "unsteadiness" not in of_queue
    assert "random vectors" not in of_batch
    assert "A sudden fall that comes back after some steps is the unsteadiness that MoCo v3 describes" in of_batch


def test_what_becomes_of_an_image_is_told_by_what_its_key_is() -> None:
    assert "twice, as a query and as its key" in seen_words(v2())
    assert "each of the two views asks once" in seen_words(v3_small())
    assert "another image of its group as its key (itself, where it is alone)" in seen_words(grouped(1))
    assert "4 other images of its group as keys" in seen_words(grouped(4))
    assert "asks for its caption" in seen_words(image_text())
    assert "the memory bank holds" in seen_words(memory_bank())


def test_what_queries_are_not_shown_is_told() -> None:
    assert "of whole views" not in seen_words(v3_small())
    half = seen_words(override(v3_small(), {"query_view.keep": 0.5}))
    assert "the encoder is given 50% of the patches, others at every step" in half
    assert "The pictures below are of whole views" in half
    assert "a rectangle of 2% to 33% is erased" in seen_words(override(v2(), {"query_view.erase": 0.3}))


def test_similarity_is_of_what_is_paired() -> None:
    assert "a query and its keys" in readings(grouped(1), 5.0)["Similarity of query and key"]
    assert "an image and its caption" in readings(image_text(), 5.0)["Similarity of query and key"]
