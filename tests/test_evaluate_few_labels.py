"""The probe of few labels: fair draws, and no change of its answer by the faster coordinates."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from moco.evaluate.contest import Features
from moco.evaluate.few_labels import _in_their_span, draw_labels, few_labels


def clouds(n, dim, apart, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    centres = np.random.default_rng(99).normal(size=(4, dim)) * apart
    return Features((centres[labels] + rng.normal(size=(n, dim))).astype(np.float32), labels)


def test_draws_are_stratified_repeatable_and_different():
    labels = np.array([0] * 50 + [1] * 5 + [2] * 30)
    first = draw_labels(labels, 8, seed=0, number=0)
    assert np.bincount(labels[first]).tolist() == [8, 5, 8]
    assert (first == draw_labels(labels, 8, seed=0, number=0)).all()
    assert set(first) != set(draw_labels(labels, 8, seed=0, number=1))


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
    train, test = clouds(400, 20, 1.0), clouds(400, 20, 1.0, seed=1)
    few, many = few_labels(train, test, 1, draws=range(5)), few_labels(train, test, 20, draws=range(5))
    assert few.mean < many.mean
    assert many.mean > 0.9
    noise = few_labels(clouds(400, 20, 0.0), clouds(400, 20, 0.0, seed=1), 20, draws=range(5))
    assert 0.15 < noise.mean < 0.35
