"""Running statistics over the parts of a batch are those of the batch."""

import copy

import torch
from torch import nn

from moco.ops.batch_norm import group_batch_norm
from moco.ops.running import one_batch, running


def net():
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False)
    )
    group_batch_norm(made, 2)
    return made.train()


def test_parts_leave_what_the_batch_leaves_also_where_each_goes_through_twice():
    whole, divided = net(), None
    divided = copy.deepcopy(whole)
    x, y = torch.randn(2, 8, 5)
    whole(x), whole(y)
    for rows in one_batch(divided, [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8)]):
        divided(x[rows]), divided(y[rows])
    assert len(running(whole)) == 4
    for a, b in zip(whole.buffers(), divided.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_one_part_is_passed_through_untouched():
    made = net()
    before = [b.clone() for b in made.buffers()]
    assert list(one_batch(made, ["all"])) == ["all"]
    assert all(torch.equal(a, b) for a, b in zip(before, made.buffers(), strict=True))


def test_a_batchnorm_without_weights_stays_without_them_in_groups():
    grouped, plain = net()[4], nn.BatchNorm1d(3, affine=False)
    assert grouped.state_dict().keys() == plain.state_dict().keys()
    assert not list(grouped.parameters())
    x = torch.randn(4, 3, requires_grad=True)
    expected = torch.cat([plain(x[:2]), plain(x[2:])])
    torch.testing.assert_close(grouped(x), expected)
    (grad,) = torch.autograd.grad((grouped(x) * torch.arange(3.0)).sum(), x)
    (wanted,) = torch.autograd.grad((expected * torch.arange(3.0)).sum(), x)
    torch.testing.assert_close(grad, wanted, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(grouped.eval()(x), (x - grouped.running_mean) / (grouped.running_var + 1e-5).sqrt())
