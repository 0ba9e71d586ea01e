"""Retrieval: views of one image are each other's nearest, or not."""

import torch

from moco.scores.retrieval import retrieval_accuracy


def test_equal_views_are_all_found_and_unrelated_ones_hardly():
    torch.manual_seed(0)
    a = torch.randn(200, 16)
    assert retrieval_accuracy(a, 3 * a) == 1
    assert retrieval_accuracy(a, torch.randn(200, 16)) < 0.05


def test_both_directions_count():
    a = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    b = torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]])
    assert 0.5 < retrieval_accuracy(a, b) < 1


def test_features_that_are_all_the_same_find_one_in_n():
    assert retrieval_accuracy(torch.ones(10, 4), torch.ones(10, 4)) == 0.1
