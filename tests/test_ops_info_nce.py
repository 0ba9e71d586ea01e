"""InfoNCE: the fast form is the plain one, in values and gradients, in any autocast."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from moco.ops.info_nce import Contrast, info_nce, info_nce_plain


def vectors(n, m, c=16, seed=0):
    g = torch.Generator().manual_seed(seed)
    return tuple(F.normalize(torch.randn(rows, c, generator=g), dim=1) for rows in (n, n, m))


def counts(n, m, seed=0):
    """The logarithm of how often each negative counts: 0 to 3 times, at least one a row."""
    count = torch.randint(0, 4, (n, m), generator=torch.Generator().manual_seed(seed)).float()
    count[:, 0] = 1
    return count.log()


def value_and_gradients(loss_of, *tensors):
    leaves = [t.clone().requires_grad_() for t in tensors]
    loss = loss_of(*leaves)
    loss.backward()
    return loss.detach(), [leaf.grad for leaf in leaves]


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize("m", [1, 7, 64, 1001])
@pytest.mark.parametrize("counted", [False, True])
def test_fast_is_plain_in_value_and_in_the_gradients_of_queries_keys_and_negatives(temperature, m, counted):
    q, k, others = vectors(6, m)
    log_count = counts(6, m) if counted else None

    def contrast(key, negatives):
        return Contrast(key, negatives, log_count)

    fast = value_and_gradients(lambda a, b, c: info_nce(a, contrast(b, c), temperature).loss, q, k, others)
    plain = value_and_gradients(lambda a, b, c: info_nce_plain(a, contrast(b, c), temperature), q, k, others)
    torch.testing.assert_close(fast[0], plain[0], rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(fast[1], plain[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 6, 17, 60, 6006, 1 << 19])
def test_a_streamed_dictionary_gives_the_plain_loss_gradients_and_readings_in_any_chunks(chunk, monkeypatch):
    monkeypatch.setattr("moco.ops.info_nce._CHUNK", chunk)
    q, k, others = vectors(6, 1001)
    streamed = value_and_gradients(lambda a, b: info_nce(a, Contrast(b, others), 0.07).loss, q, k)
    plain = value_and_gradients(lambda a, b: info_nce_plain(a, Contrast(b, others), 0.07), q, k)
    torch.testing.assert_close(streamed[0], plain[0], rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(streamed[1], plain[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    found = info_nce(q, Contrast(k, others), 0.07)
    similar = q @ others.T
    positive = (q * k).sum(dim=1)
    torch.testing.assert_close(found.accuracy, (positive > similar.amax(dim=1)).float().mean())
    torch.testing.assert_close(found.negative, similar.mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.positive, positive.mean())


def test_streaming_holds_no_table_of_queries_times_negatives():
    """The largest tensor made on the way is the chunk; the plain form makes several of N x M."""
    q, k, others = vectors(64, 1 << 17, c=8)

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, function, types, arguments=(), named=None):
            out = function(*arguments, **(named or {}))
            for t in out if isinstance(out, tuple | list) else [out]:
                if (
                    isinstance(t, torch.Tensor)
                    and t.untyped_storage().data_ptr() != others.untyped_storage().data_ptr()
                ):
                    self.numel = max(self.numel, t.numel())
            return out

    largest = {}
    for name, loss_of in (
        ("ours", lambda a: info_nce(a, Contrast(k, others), 0.2).loss),
        ("plain", lambda a: info_nce_plain(a, Contrast(k, others), 0.2)),
    ):
        with Largest() as seen:
            loss_of(q.clone().requires_grad_()).backward()
        largest[name] = seen.numel
    assert largest["plain"] >= 64 << 17
    assert largest["ours"] <= 1 << 19


def test_whole_numbers_with_a_scale_are_the_rows_they_stand_for():
    q, k, others = vectors(6, 300)
    scale = others.abs().amax(dim=1) / 127
    whole = (others / scale[:, None]).round().to(torch.int8)
    a = info_nce(q, Contrast(k, whole, scale=scale), 0.2)
    b = info_nce(q, Contrast(k, whole.float() * scale[:, None]), 0.2)
    for ours, theirs in zip(a, b, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert abs(a.loss - info_nce(q, Contrast(k, others), 0.2).loss) < 1e-2


def test_images_that_are_all_alike_win_no_contrast():
    q = F.normalize(torch.ones(4, 128) + 1e-4 * torch.randn(1, 128), dim=1)
    assert info_nce(q, Contrast(q, q.repeat(300, 1)), 0.2).accuracy == 0


def test_it_is_equation_1_by_hand():
    q = torch.tensor([[1.0, 0.0]])
    contrast = Contrast(torch.tensor([[0.6, 0.8]]), torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    found = info_nce(q, contrast, 0.5)
    expected = -math.log(math.exp(1.2) / (math.exp(1.2) + math.exp(0) + math.exp(-2)))
    assert found.loss.item() == pytest.approx(expected, rel=1e-6)
    assert found.accuracy == 1
    assert found.positive.item() == pytest.approx(0.6)
    assert found.negative.item() == pytest.approx(-0.5)


def test_a_negative_that_counts_twice_is_two_negatives():
    q, k, others = vectors(5, 9)
    twice = torch.zeros(5, 9)
    twice[:, 3] = math.log(2)
    a = info_nce(q, Contrast(k, others, twice), 0.2)
    b = info_nce(q, Contrast(k, torch.cat([others, others[3:4]])), 0.2)
    for ours, theirs in zip(a, b, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_negative_that_never_counts_is_not_there():
    q, k, others = vectors(5, 9)
    never = torch.zeros(5, 9)
    never[:, 4] = -math.inf
    rest = [j for j in range(9) if j != 4]
    with_grad = value_and_gradients(lambda c: info_nce(q, Contrast(k, c, never), 0.2).loss, others)
    assert (with_grad[1][0][4] == 0).all()
    assert with_grad[1][0].isfinite().all()
    a, b = info_nce(q, Contrast(k, others, never), 0.2), info_nce(q, Contrast(k, others[rest]), 0.2)
    for ours, theirs in zip(a, b, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("counted", [False, True])
def test_under_bf16_autocast_the_loss_is_the_same_fp32_loss(counted):
    q, k, others = vectors(6, 50)
    contrast = Contrast(k, others, counts(6, 50) if counted else None)
    outside = info_nce(q, contrast, 0.07)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = info_nce(q, contrast, 0.07)
    for a, b in zip(inside, outside, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


def test_bf16_queries_and_keys_are_contrasted_in_fp32():
    q, k, others = (v.bfloat16() for v in vectors(6, 50))
    fast = value_and_gradients(lambda a: info_nce(a, Contrast(k, others), 0.07).loss, q)
    plain = value_and_gradients(lambda a: info_nce_plain(a, Contrast(k.float(), others.float()), 0.07), q.float())
    assert fast[0].dtype == torch.float32
    torch.testing.assert_close(fast[0], plain[0])
    torch.testing.assert_close(fast[1][0].float(), plain[1][0], rtol=1e-2, atol=1e-2)


def test_accuracy_is_the_share_of_queries_whose_key_beats_every_negative():
    q = torch.eye(4)
    k = torch.eye(4)
    k[3] = -k[3]
    others = torch.stack([torch.eye(4)[0], -torch.eye(4)[1]])  # the first is as good as the key of query 0: no win
    assert info_nce(q, Contrast(k, others), 0.2).accuracy == 0.5
    log_count = torch.zeros(4, 2)
    log_count[0, 0] = -math.inf
    assert info_nce(q, Contrast(k, others, log_count), 0.2).accuracy == 0.75


def test_a_repeated_negative_makes_no_query_lose():
    q = torch.eye(2)
    contrast = Contrast(0.9 * q, torch.tensor([[0.89, 0.45]]), torch.full((2, 1), math.log(100)))
    assert info_nce(q, contrast, 1.0).accuracy == 1


def test_the_means_of_similarities_have_no_gradient():
    q, k, others = vectors(3, 5)
    found = info_nce(q.requires_grad_(), Contrast(k, others), 0.2)
    assert found.loss.requires_grad
    assert not any(value.requires_grad for value in found[1:])


def test_logits_of_any_size_give_a_finite_loss_and_gradient():
    q = F.normalize(torch.ones(2, 4), dim=1)
    for key, others in ((q, -q), (-q, q)):
        loss, (grad,) = value_and_gradients(lambda a, k=key, o=others: info_nce(a, Contrast(k, o), 1e-4).loss, q)
        assert loss.isfinite()
        assert grad.isfinite().all()
