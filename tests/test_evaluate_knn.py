"""kNN equals a brute-force count of weighted votes."""

import numpy as np
import torch

from moco.evaluate.knn import Bank, knn_accuracy, knn_classify


def brute(features, bank, labels, classes, k, temperature, skip_self):
    found = []
    for i, x in enumerate(features):
        similar = [(float(x @ y / (x.norm() * y.norm())), j) for j, y in enumerate(bank) if not (skip_self and i == j)]
        votes = np.zeros(classes)
        for s, j in sorted(similar, reverse=True)[:k]:
            votes[labels[j]] += np.exp(s / temperature)
        found.append(int(votes.argmax()))
    return found


def test_votes_are_weighted_by_similarity():
    torch.manual_seed(0)
    bank, labels, rows = torch.randn(60, 5), torch.randint(0, 4, (60,)), torch.randn(20, 5)
    for k, temperature in ((1, 0.1), (7, 0.07), (200, 0.5)):
        ours = knn_classify(rows, Bank(bank, labels), 4, k=k, temperature=temperature)
        assert ours.tolist() == brute(rows, bank, labels, 4, k, temperature, skip_self=False)


def test_without_a_bank_no_image_votes_for_itself():
    torch.manual_seed(1)
    rows, labels = torch.randn(40, 5), torch.randint(0, 3, (40,))
    expected = brute(rows, rows, labels, 3, 5, 0.1, skip_self=True)
    ours = knn_classify(rows, Bank(rows, labels), 3, k=5, temperature=0.1, leave_one_out=True)
    assert ours.tolist() == expected
    accuracy = knn_accuracy(rows, labels.numpy(), 3, k=5, temperature=0.1)
    assert abs(accuracy - np.mean(np.array(expected) == labels.numpy())) < 1e-6
