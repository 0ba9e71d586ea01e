"""RoIAlign as products of matrices: equal to torchvision's loop in values and gradients."""

import pytest
import torch

from moco.transfer.parts.align import SMALL, align, by_products, plainly, shares


def boxes(number, high, wide, seed=0):
    """Of three images in no order: small and large ones, some partly outside, one without area."""
    generator = torch.Generator().manual_seed(seed)
    middle = torch.rand(number, 2, generator=generator) * torch.tensor([wide, high])
    half = torch.rand(number, 2, generator=generator) ** 3 * torch.tensor([wide, high])
    image = torch.randint(0, 3, (number, 1), generator=generator).float()
    rows = torch.cat([image, middle - half, middle + half], 1)
    rows[0, 3:] = rows[0, 1:3]
    return rows


@pytest.mark.parametrize(("size", "high", "wide", "scale"), [(7, 12, 20, 0.25), (14, 5, 3, 1 / 16), (2, 40, 40, 1.0)])
def test_products_give_what_the_loop_gives_and_its_gradient(size, high, wide, scale):
    rows = boxes(30, high / scale, wide / scale)
    rows = rows[rows[:, 0] != 1]  # of one image nothing is asked
    values = [torch.randn(3, 6, high, wide, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in "ab"]
    pooled = [how(x, rows, size, scale) for how, x in zip((by_products, plainly), values, strict=True)]
    assert pooled[0].shape == (len(rows), 6, size, size)
    assert torch.allclose(*pooled, atol=1e-5)
    for one in pooled:
        (one * torch.linspace(-1, 1, one.numel()).view(one.shape)).sum().backward()
    assert torch.allclose(values[0].grad, values[1].grad, atol=1e-4)


def test_a_bin_takes_one_in_all_where_it_lies_inside_and_less_at_the_edge():
    taken = shares(torch.tensor([2.0, -9.0]), torch.tensor([9.0, 2.0]), 3, 12)
    assert torch.allclose(taken[0].sum(1), torch.ones(3))
    assert taken[1].sum(1)[0] == 0
    assert 0 < taken[1].sum(1)[2] <= 1


def test_no_box_gives_nothing_and_large_features_go_to_the_loop(monkeypatch):
    features = torch.randn(2, 4, 8, 8)
    assert align(features, torch.zeros(0, 5), 7, 0.5).shape == (0, 4, 7, 7)
    monkeypatch.setattr("moco.transfer.parts.align.by_products", lambda *_: pytest.fail("it is too large"))
    assert align(torch.zeros(1, 1, SMALL // 2, 3), torch.tensor([[0.0, 0, 0, 8, 8]]), 7, 1.0).shape == (1, 1, 7, 7)
