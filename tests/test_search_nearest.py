"""Nearest neighbours: exact like brute force, approximate nearly so."""

import numpy as np
import pytest

from moco.errors import MocoError
from moco.search.nearest import nearest


def unit(n, d, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_exact_search_equals_brute_force():
    bank, queries = unit(60, 8), unit(17, 8, 1)
    cosines, places = nearest(queries, bank, 5)
    product = queries @ bank.T
    expected = np.argsort(-product, axis=1)[:, :5]
    assert (places == expected).all()
    assert np.allclose(cosines, np.take_along_axis(product, expected, 1), atol=1e-6)


@pytest.mark.parametrize("how", ["exact", "faiss"])
def test_no_image_is_its_own_neighbour_even_where_copies_tie_with_it(how):
    if how == "faiss":
        pytest.importorskip("faiss", reason="needs the extra 'faiss'")
    bank = np.repeat(unit(50, 8), 3, axis=0)
    _, places = nearest(bank, bank, 2, themselves=True, how=how)
    assert places.shape == (150, 2)
    assert (places != np.arange(150)[:, None]).all()
    assert (places // 3 == np.arange(150)[:, None] // 3).all()


def test_faiss_finds_nearly_what_exact_search_finds():
    pytest.importorskip("faiss", reason="needs the extra 'faiss'")
    middles = unit(50, 16, 2)
    bank = np.repeat(middles, 60, axis=0) + 0.1 * unit(3000, 16, 3)
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    _, exact = nearest(bank, bank, 10, themselves=True, how="exact")
    _, found = nearest(bank, bank, 10, themselves=True, how="faiss")
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)])
    assert recall > 0.9


def test_one_image_has_no_neighbours():
    with pytest.raises(MocoError, match="at least two"):
        nearest(unit(1, 4), unit(1, 4), 3, themselves=True)
    assert nearest(unit(2, 4), unit(2, 4), 9, themselves=True)[1].tolist() == [[1], [0]]
