"""Rows of the log in words."""

import pytest

from moco.run.words import left_words, score_words, step_words


def test_a_step_without_a_contrast_has_its_loss_alone():
    row = {"loss": None, "images_per_second": 1234.5, "data_wait": 0.0, "memory_gib": 0.25}
    assert step_words(row) == "loss not finite, 1,234 images/s, waiting for data 0%, 0.2 GiB"


def test_scores_say_when_and_shares_are_in_percent():
    assert score_words({"step": 0, "epoch": 0, "rank": 3.14159}) == "before training: effective rank 3.14"
    assert score_words({"step": 9, "epoch": 3, "knn": 0.5, "m": None}) == "after epoch 3: kNN 50.0%"
    assert score_words({"step": 9, "epoch": 0, "judged_in": 1, "rotation": 0.25}) == "after step 9: turns found 25.0%"
    assert score_words({"step": 1200, "knn": 0.5}) == "after step 1,200: kNN 50.0%"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (3, "3 s left"), (600, "10 min left"), (7200, "2.0 h left"), (259_200, "3.0 days left")],
)
def test_what_is_left(seconds, words):
    assert left_words(seconds) == words
