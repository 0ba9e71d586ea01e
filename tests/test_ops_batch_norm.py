"""Grouped BatchNorm against one ordinary BatchNorm for each group, as if on a GPU of its own."""

from __future__ import annotations

import copy
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from moco.errors import MocoError
from moco.ops.batch_norm import GroupBatchNorm, group_batch_norm, group_batch_norm_plain

FORMS = ["groups", "at once", *(["kernels"] if find_spec("numba") else [])]
SHAPES = {"1d": (12, 5), "2d": (12, 5, 3, 4), "2d, one pixel": (12, 5, 1, 1)}


def norm_for(shape):
    """A BatchNorm that has seen something."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(5) if len(shape) == 2 else nn.BatchNorm2d(5)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


def images(shape, seed=1):
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 2


@pytest.mark.parametrize("group", [2, 3, 4, 6, 12])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_each_group_is_normalised_as_by_a_batchnorm_of_its_own(shape, group):
    norm = norm_for(shape)
    gpus = [copy.deepcopy(norm) for _ in range(0, 12, group)]
    ours = GroupBatchNorm(norm, group)
    x, y = images(shape).requires_grad_(), images(shape).requires_grad_()
    out = ours(x)
    expected = torch.cat([gpu(part) for gpu, part in zip(gpus, y.split(group), strict=True)])
    torch.testing.assert_close(out, expected)

    weight = images(shape, seed=2)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.weight.grad, sum(gpu.weight.grad for gpu in gpus), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.bias.grad, sum(gpu.bias.grad for gpu in gpus), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("group", [2, 3, 4, 6, 12])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_running_statistics_are_the_mean_of_what_each_gpu_would_keep(shape, group):
    norm = norm_for(shape)
    gpus = [copy.deepcopy(norm) for _ in range(0, 12, group)]
    ours = GroupBatchNorm(norm, group)
    for seed in range(4):
        x = images(shape, seed)
        ours(x)
        for gpu, part in zip(gpus, x.split(group), strict=True):
            gpu(part)
    for name in ("running_mean", "running_var"):
        expected = torch.stack([getattr(gpu, name) for gpu in gpus]).mean(dim=0)
        torch.testing.assert_close(getattr(ours, name), expected, rtol=1e-4, atol=1e-5)
    assert ours.num_batches_tracked == 4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_fast_is_plain(shape, form):
    norm = norm_for(shape)
    x, y = images(shape).requires_grad_(), images(shape).requires_grad_()
    plain = group_batch_norm_plain(y, norm, 4)
    ours = GroupBatchNorm(copy.deepcopy(norm), 4)
    ours.form = form
    fast = ours(x)
    torch.testing.assert_close(fast, plain)
    fast.square().mul(images(shape, 3)).sum().backward()
    plain.square().mul(images(shape, 3)).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.weight.grad, norm.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.bias.grad, norm.bias.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "order",
    [
        lambda x: x.transpose(2, 3),
        lambda x: x.contiguous(memory_format=torch.channels_last).flatten(2),
        lambda x: x.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3),
        lambda x: x[:, :, ::2],
    ],
    ids=["turned", "a sequence, channels last", "channels first of all", "every other row"],
)
def test_any_order_of_memory(order, form):
    x, above = order(images((12, 5, 3, 4))), order(images((12, 5, 3, 4), seed=2))
    found = []
    for change in (lambda t: t.contiguous(), lambda t: t):
        ours = GroupBatchNorm(norm_for((12, 5, 3, 4)), 4)
        ours.form = form
        leaf = change(x.detach()).requires_grad_()
        out = ours(leaf)
        out.backward(change(above))
        found.append([out.detach(), leaf.grad, ours.weight.grad])
    for straight, other in zip(*found, strict=True):
        torch.testing.assert_close(other, straight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_each_form_does_what_the_groups_one_by_one_do(dtype, memory_format):
    """Values, gradients, running statistics, types and memory format."""
    x = images((12, 5, 3, 4)).to(dtype).contiguous(memory_format=memory_format)
    found = []
    for form in FORMS:
        ours = GroupBatchNorm(norm_for(x.shape), 4)
        ours.form = form
        leaf = x.clone().requires_grad_()
        out = ours(leaf)
        assert out.dtype == dtype
        assert out.is_contiguous(memory_format=memory_format)
        out = nn.ReLU(inplace=True)(out)  # as ResNets have it
        (out * images(x.shape, seed=2)).sum().backward()
        found.append([out, leaf.grad, ours.weight.grad, ours.bias.grad, ours.running_mean, ours.running_var])
    near = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.02}
    for one_by_one, *others in zip(*found, strict=True):
        for other in others:
            torch.testing.assert_close(other, one_by_one, **near)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_in_eval_mode_it_is_an_ordinary_batchnorm_for_any_batch(shape):
    norm = norm_for(shape)
    ours = GroupBatchNorm(copy.deepcopy(norm), 4).eval()
    x = images(shape)[:7]
    torch.testing.assert_close(ours(x), norm.eval()(x))
    before = ours.running_mean.clone()
    ours(x)
    assert torch.equal(ours.running_mean, before)
    assert ours.num_batches_tracked == 0


def test_one_group_of_all_images_is_an_ordinary_batchnorm():
    norm = norm_for((12, 5, 3, 4))
    ours = GroupBatchNorm(copy.deepcopy(norm), 12)
    x = images((12, 5, 3, 4))
    torch.testing.assert_close(ours(x), norm(x))
    torch.testing.assert_close(ours.running_var, norm.running_var)


def test_under_bf16_autocast_activations_stay_bf16_and_statistics_fp32():
    norm = norm_for((12, 5, 3, 4))
    exact = GroupBatchNorm(copy.deepcopy(norm), 4)
    half = GroupBatchNorm(copy.deepcopy(norm), 4)
    x = images((12, 5, 3, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = half(x.bfloat16())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), exact(x), rtol=0.05, atol=0.05)
    assert half.running_mean.dtype == half.running_var.dtype == torch.float32
    torch.testing.assert_close(half.running_var, exact.running_var, rtol=0.02, atol=0.02)


def test_a_batch_that_does_not_divide_is_refused_with_both_numbers():
    ours = GroupBatchNorm(norm_for((12, 5)), 4)
    with pytest.raises(MocoError, match=r"10 images.*groups of 4"):
        ours(torch.randn(10, 5))


def test_every_batchnorm_of_a_module_is_replaced_and_keeps_its_parameters_and_names():
    net = nn.Sequential(
        nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.Sequential(nn.ReLU(), nn.BatchNorm2d(5)), nn.Flatten()
    )
    names, weights = list(net.state_dict()), [id(p) for p in net.parameters()]
    grouped = group_batch_norm(net, 4)
    assert grouped is net
    assert list(grouped.state_dict()) == names
    assert [id(p) for p in grouped.parameters()] == weights
    assert not any(isinstance(m, nn.BatchNorm2d) for m in grouped.modules())
    assert sum(isinstance(m, GroupBatchNorm) and m.group == 4 for m in grouped.modules()) == 2


def test_a_batchnorm_itself_is_replaced_too():
    assert isinstance(group_batch_norm(nn.BatchNorm1d(3), 2), GroupBatchNorm)


class NormThenReLU(nn.BatchNorm2d):
    """BatchNorm and activation in one module, as timm has them (BatchNormAct2d)."""

    def forward(self, x):
        return super().forward(x).relu()


def test_a_batchnorm_that_does_more_than_normalise_goes_on_doing_it_or_is_refused():
    net = nn.Sequential(NormThenReLU(5))
    try:
        grouped = group_batch_norm(net, 4)
    except MocoError as error:
        assert "NormThenReLU" in str(error)  # noqa: PT017
    else:
        assert (grouped(images((12, 5, 3, 4))) >= 0).all()


def test_a_state_fits_ordinary_batchnorm_and_back():
    norm = norm_for((12, 5))
    ours = GroupBatchNorm(copy.deepcopy(norm), 4)
    ours(images((12, 5)))
    norm.load_state_dict(ours.state_dict())
    torch.testing.assert_close(norm.running_var, ours.running_var)
