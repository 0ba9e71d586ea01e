"""The most similar vectors: the same in blocks of any size, and equal to sorting all products."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from moco.ops.nearest import nearest


def brute(rows, bank, k, skip=None):
    product = (F.normalize(rows, dim=1) @ F.normalize(bank, dim=1).T).numpy()
    if skip is not None:
        product[np.arange(len(rows)), skip + np.arange(len(rows))] = -np.inf
    order = np.argsort(-product, axis=1)[:, :k]
    return np.take_along_axis(product, order, 1), order


@pytest.mark.parametrize(("rows_at_once", "bank_at_once"), [(4096, 8192), (4, 7), (1, 1), (50, 3)])
def test_blocks_of_any_size_give_what_sorting_gives(rows_at_once, bank_at_once):
    torch.manual_seed(0)
    rows, bank = torch.randn(23, 6), 5 * torch.randn(61, 6)
    for k in (1, 5, 61):
        cosines, places = nearest(rows, bank, k, rows_at_once=rows_at_once, bank_at_once=bank_at_once)
        expected, order = brute(rows, bank, k)
        assert (places.numpy() == order).all()
        assert np.allclose(cosines.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("bank_at_once", [8192, 7])
def test_no_row_is_its_own_neighbour_also_where_rows_are_a_part_of_the_bank(bank_at_once):
    torch.manual_seed(1)
    bank = torch.randn(40, 5)
    for first, n, k in ((0, 40, 39), (13, 10, 6)):
        rows = bank[first : first + n]
        blocks = {"rows_at_once": 4, "bank_at_once": bank_at_once}
        _, places = nearest(rows, bank, k, themselves=True, first=first, **blocks)
        assert (places.numpy() == brute(rows, bank, k, skip=first)[1]).all()


def test_the_arguments_stay_as_they_are():
    rows, bank = torch.full((2, 3), 2.0), torch.full((4, 3), 3.0)
    nearest(rows, bank, 2, themselves=True)
    assert rows.eq(2).all()
    assert bank.eq(3).all()
