"""The probe of few labels: fair draws, and no change of its answer by the faster coordinates."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from moco.protocols.contest import Features
from moco.protocols.few_labels import _in_their_span, probe_hits
from moco.protocols.labels import PerClass, draw_labels


def clouds(n, dim, apart, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    centres = np.random.default_rng(99).normal(size=(4, dim)) * apart
    return Features((centres[labels] + rng.normal(size=(n, dim))).astype(np.float32), labels)


def test_coordinates_in_the_span_give_the_same_classifier():
    known, judged = clouds(24, 300, 0.3), clouds(80, 300, 0.3, seed=1)
    small, other = _in_their_span(known.features, judged.features)
    assert small.shape == (24, 24)
    mean, std = known.features.mean(0), known.features.std(0) + 1e-6
    for strength in (0.01, 1.0):
        whole = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit((known.features - mean) / std, known.labels)
        quick = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(small, known.labels)
        a = whole.predict_proba((judged.features - mean) / std)
        assert np.abs(a - quick.predict_proba(other)).max() < 1e-3


def test_more_labels_and_better_features_score_higher_and_noise_is_chance():
    def mean(apart, per_class):
        train, test = clouds(400, 20, apart), clouds(400, 20, apart, seed=1)
        keys = np.arange(400).astype(np.uint64)
        draws = [draw_labels(train.labels, keys, PerClass(per_class), 0, one) for one in range(5)]
        return np.mean([probe_hits(train.at(rows), test) for rows in draws])

    assert mean(1.0, 1) < mean(1.0, 20)
    assert mean(1.0, 20) > 0.9
    assert 0.15 < mean(0.0, 20) < 0.35
