"""Whose images lie next to whose, counted by hand."""

import pytest
import torch

from moco.pages.confusion import MOST_CLASSES, confusion

CAT, DOG = [1.0, 0.0], [0.0, 1.0]


def test_of_each_class_the_shares_of_its_neighbours():
    features = torch.tensor([CAT, CAT, CAT, DOG, DOG, DOG, CAT])
    labels = ["cat", "cat", "cat", "dog", "dog", "dog", "dog"]
    found = confusion(features + 0.01 * torch.arange(7)[:, None], labels)
    assert found.classes == ["cat", "dog"]
    assert found.images == [3, 4]
    assert found.votes == 5
    assert [sum(row) for row in found.shares] == pytest.approx([1, 1])
    assert found.shares[0][0] == pytest.approx(2 / 5), "two other cats among five neighbours"


def test_images_without_a_class_are_left_out():
    features = torch.tensor([CAT, CAT, DOG, DOG, CAT])
    found = confusion(features, ["a", "a", "b", "b", None])
    assert found.images == [2, 2]


@pytest.mark.parametrize("labels", [[None] * 4, ["a"] * 4, ["a", "b", "c", "d"], ["a", "a", "a", "b"], []])
def test_without_two_classes_of_two_images_there_is_none(labels):
    assert confusion(torch.tensor([CAT, CAT, DOG, DOG])[: len(labels)], labels) is None


def test_numbers_are_in_the_order_of_their_size_and_rare_classes_are_counted():
    n = MOST_CLASSES + 3
    labels = [str(i) for i in range(n) for _ in range(2 if i >= 3 else 4)]
    found = confusion(torch.randn(len(labels), 4), labels)
    assert found.classes == [str(i) for i in range(MOST_CLASSES)]
    assert found.more == 3
