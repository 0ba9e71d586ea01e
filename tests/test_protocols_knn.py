"""kNN equals a brute-force count of votes, weighted and by majority, in blocks of any size."""

import numpy as np
import pytest
import torch

from moco.errors import MocoError
from moco.protocols.knn import KNN, Bank, knn_accuracy, knn_classes

BLOCKS = [{}, {"rows_at_once": 3, "bank_at_once": 4}]


def brute(features, bank, labels, classes, k, vote, temperature=0.1, skip_self=False):
    found = []
    for i, x in enumerate(features):
        similar = [(float(x @ y / (x.norm() * y.norm())), j) for j, y in enumerate(bank) if not (skip_self and i == j)]
        votes = [(0, 0.0)] * classes
        for s, j in sorted(similar, reverse=True)[:k]:
            number, weight = votes[labels[j]]
            votes[labels[j]] = number + 1, weight + (np.exp(s / temperature) if vote == "weighted" else s)
        by = (lambda v: v[1]) if vote == "weighted" else (lambda v: v)  # majority: ties by the sum of cosines
        found.append(max(range(classes), key=lambda c: by(votes[c])))
    return found


@pytest.mark.parametrize("blocks", BLOCKS)
def test_several_k_and_both_votes_at_once_equal_brute_force(blocks):
    torch.manual_seed(0)
    bank, labels, rows = torch.randn(60, 5), torch.randint(0, 4, (60,)), torch.randn(20, 5)
    ks, votes = (1, 6, 7, 200), ("weighted", "majority")
    ours = knn_classes(rows, Bank(bank, labels), 4, ks=ks, votes=votes, temperature=0.07, **blocks)
    for i, (vote, k) in enumerate((vote, k) for vote in votes for k in ks):
        assert ours[:, i].tolist() == brute(rows, bank, labels, 4, k, vote, 0.07), (vote, k)
    assert len({tuple(column) for column in ours.T.tolist()}) > 4, "else the votes hardly differ, and this shows little"


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("vote", ["weighted", "majority"])
def test_without_a_bank_no_image_votes_for_itself(blocks, vote):
    torch.manual_seed(1)
    rows, labels = torch.randn(40, 5), torch.randint(0, 3, (40,))
    expected = brute(rows, rows, labels, 3, 5, vote, skip_self=True)
    ours = knn_classes(rows, Bank(rows, labels), 3, ks=[5], votes=[vote], temperature=0.1, leave_one_out=True, **blocks)
    assert ours[:, 0].tolist() == expected
    if vote == "weighted":
        accuracy = knn_accuracy(rows, labels.numpy(), 3, k=5, temperature=0.1)
        assert abs(accuracy - np.mean(np.array(expected) == labels.numpy())) < 1e-6


def test_a_temperature_near_0_leaves_the_nearest_alone_to_vote():
    torch.manual_seed(2)
    bank, labels, rows = torch.randn(60, 5), torch.randint(0, 4, (60,)), torch.randn(20, 5)
    cold = knn_classes(rows, Bank(bank, labels), 4, ks=[50], votes=["weighted"], temperature=1e-6)
    assert cold[:, 0].tolist() == brute(rows, bank, labels, 4, 1, "majority")


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"k": (0,)}, "--knn-k 0"), ({"k": ()}, "--knn-k"), ({"temperature": 0.0}, "--knn-temperature"),
     ({"vote": ()}, "--knn-vote"), ({"features": ()}, "--knn-features")],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused_by_their_flag(settings, says):
    with pytest.raises(MocoError, match=says):
        KNN(**settings)
