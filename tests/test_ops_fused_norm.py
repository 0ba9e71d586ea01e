"""The compiled kernels of BatchNorm against torch's own, one call for each group."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moco.ops.batch_norm import GroupBatchNorm, group_batch_norm_plain

pytest.importorskip("numba", reason="the kernels need the extra `fast`")

from moco.ops import fused_norm


def noise(*shape, seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def results(x, above, group, form):
    """Values and gradients."""
    norm = nn.BatchNorm2d(x.shape[1]) if x.ndim == 4 else nn.BatchNorm1d(x.shape[1])  # N x C x L too
    with torch.no_grad():
        norm.weight.copy_(noise(x.shape[1], seed=5))
        norm.bias.copy_(noise(x.shape[1], seed=6))
    norm = norm.double() if x.dtype == torch.float64 else norm
    leaf = x.clone().requires_grad_()
    ours = norm if form == "plain" else GroupBatchNorm(norm, group)
    ours.form = form
    out = group_batch_norm_plain(leaf, norm, group) if form == "plain" else ours(leaf)
    out.backward(above)
    return [out.detach(), leaf.grad, ours.weight.grad, ours.bias.grad]


@pytest.mark.parametrize(
    ("shape", "group"),
    [
        ((6, 3, 101, 7), 2),
        ((8, 64, 33, 33), 8),
        ((4, 2048, 7, 7), 2),
        ((6, 1, 5, 5), 3),
        ((512, 70), 128),
        ((4, 9, 1, 1), 4),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_number_of_rows_pieces_and_channels(shape, group, dtype):
    x, above = (3 * noise(*shape) + 2).to(dtype), noise(*shape, seed=1).to(dtype)
    exact = [t.double() for t in results(x.float(), above.float(), group, "plain")]
    plain, kernels = results(x, above, group, "plain"), results(x, above, group, "kernels")
    for e, p, k in zip(exact, plain, kernels, strict=True):
        assert k.dtype == p.dtype
        assert k.is_contiguous(memory_format=torch.channels_last) or k.ndim != 4
        scale = e.norm().clamp_min(1e-3)
        assert (k.double() - e).norm() / scale <= (p.double() - e).norm() / scale + 2e-5


def test_sums_are_the_same_with_any_number_of_threads():
    x, above = noise(32, 48, 24, 24), noise(32, 48, 24, 24, seed=1)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(results(x, above, 8, "kernels"))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_large_mean_takes_nothing_from_a_small_variance():
    x, above = noise(16, 8, 16, 16) + 1000, noise(16, 8, 16, 16, seed=1)
    exact = results(x.double(), above.double(), 8, "plain")
    for e, k in zip(exact, results(x, above, 8, "kernels"), strict=True):
        torch.testing.assert_close(k, e.float(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so_in_its_group_and_channel_alone(value):
    x = noise(8, 8, 4, 4)
    x[5, 3, 1, 2] = value
    out, grad, _, _ = results(x, torch.ones_like(x), 4, "kernels")
    spoiled = torch.zeros(8, 8, dtype=torch.bool)
    spoiled[4:, 3] = True
    assert torch.equal(out.isfinite().all(dim=(2, 3)), ~spoiled)
    assert torch.equal(grad.isfinite().all(dim=(2, 3)), ~spoiled)


@pytest.mark.parametrize(
    "change",
    [torch.Tensor.double, torch.Tensor.contiguous, lambda x: x.flatten(2), lambda x: x[:, :, ::2]],
    ids=["fp64", "NCHW", "N x C x L", "every other row"],
)
def test_what_the_kernels_do_not_take_goes_the_plain_way(change):
    x, above = change(noise(8, 3, 4, 5)), change(noise(8, 3, 4, 5, seed=1))
    assert not fused_norm.takes(x, torch.ones(3))
    for p, k in zip(results(x, above, 4, "plain"), results(x, above, 4, "kernels"), strict=True):
        torch.testing.assert_close(k, p, rtol=1e-4, atol=1e-5)


def test_a_gradient_that_is_one_number_for_all_pixels():
    x = noise(8, 3, 4, 5)
    above = torch.ones(8, 3, 1, 1).expand(8, 3, 4, 5)
    for p, k in zip(results(x, above, 4, "plain"), results(x, above, 4, "kernels"), strict=True):
        torch.testing.assert_close(k, p, rtol=1e-4, atol=1e-5)
