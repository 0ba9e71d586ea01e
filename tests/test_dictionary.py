"""The queue, the keys of the batch and the memory bank, each in what is its own."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from moco.dictionary import BatchKeys, KeyQueue, MemoryBank, build_dictionary
from moco.errors import MocoError
from moco.ops.info_nce import info_nce
from moco.recipe import Queue, memory_bank, simclr, v1


def unit(n, c=8, seed=0):
    return F.normalize(torch.randn(n, c, generator=torch.Generator().manual_seed(seed)), dim=1)


def queue(size=10, store="fp32"):
    return KeyQueue(size, 8, torch.Generator().manual_seed(0), store)


def index(n):
    return torch.arange(n)


def test_a_queue_starts_with_random_unit_vectors_and_its_pointer_at_0():
    q = queue(1000)
    assert q.pointer == 0
    torch.testing.assert_close(q.keys.norm(dim=1), torch.ones(1000))
    assert q.keys.mean(dim=0).norm() < 0.1
    assert torch.equal(q.keys, queue(1000).keys), "a function of the generator"


@pytest.mark.parametrize("batches", [[4] * 12, [3, 7, 10, 1, 9, 10, 2], [10, 10], [1] * 25])
def test_a_queue_holds_the_latest_keys_first_in_first_out(batches):
    q, expected = queue(10), list(queue(10).keys)
    for seed, n in enumerate(batches):
        k = unit(n, seed=seed)
        q.update(k, k, index(n))
        expected = [*expected, *k][n:]
        assert q.pointer == sum(batches[: seed + 1]) % 10
        torch.testing.assert_close(torch.roll(q.keys, -int(q.pointer), dims=0), torch.stack(expected))


def test_keys_that_pass_the_end_of_the_ring_go_on_at_its_start():
    q, start = queue(10), queue(10).keys
    a, b = unit(8, seed=1), unit(5, seed=2)
    q.update(a, a, index(8))
    q.update(b, b, index(5))
    assert torch.equal(q.keys[8:], b[:2])
    assert torch.equal(q.keys[:3], b[2:])
    assert torch.equal(q.keys[3:8], a[3:])
    assert q.pointer == 3
    assert not torch.isin(q.keys, start).any()


@pytest.mark.parametrize(("store", "numbers", "near"), [("fp32", 4, 0), ("bf16", 2, 4e-3), ("int8", 1, 8e-3)])
def test_a_queue_in_fewer_bytes_holds_the_same_keys_up_to_rounding_and_contrasts_alike(store, numbers, near):
    exact, kept = queue(50), queue(50, store)
    for seed, n in enumerate([20, 7, 30]):
        for one in (exact, kept):
            one.update(unit(n, seed=seed), unit(n, seed=seed), index(n))
    assert kept.keys.element_size() == numbers
    read = kept.keys.float() * (1 if kept.scale is None else kept.scale[:, None])
    assert (read - exact.keys).abs().max() <= near
    q, k = unit(6, seed=9), unit(6, seed=10)
    losses = [info_nce(q, one.look_up(q, k, index(6), 0), 0.2).loss for one in (exact, kept)]
    assert abs(losses[0] - losses[1]) <= 2 * near / 0.2


@pytest.mark.parametrize("store", ["fp32", "bf16", "int8"])
def test_a_queue_of_any_kind_is_whole_in_its_state(store):
    a, b = queue(50, store), KeyQueue(50, 8, torch.Generator().manual_seed(1), store)
    a.update(unit(7), unit(7), index(7))
    b.load_state_dict(a.state_dict())
    x, y = (one.look_up(unit(2), unit(2), index(2), 0) for one in (a, b))
    assert torch.equal(x.others, y.others)
    assert (x.scale is None) == (store != "int8")
    assert x.scale is None or torch.equal(x.scale, y.scale)


def test_a_batch_larger_than_the_ring_is_refused_and_nothing_is_written():
    q = queue(10)
    k = unit(11)
    with pytest.raises(MocoError, match=r"11 keys exceeds the dictionary of 10"):
        q.update(k, k, index(11))
    assert torch.equal(q.keys, queue(10).keys)
    assert q.pointer == 0


def test_a_batch_as_large_as_the_ring_replaces_it():
    q, k = queue(10), unit(10, seed=3)
    q.update(k, k, index(10))
    assert torch.equal(q.keys, k)


def test_keys_in_half_precision_are_kept_in_fp32():
    q, k = queue(), unit(4)
    q.update(k.bfloat16(), k.bfloat16(), index(4))
    assert q.keys.dtype == torch.float32


def test_the_queries_are_not_what_is_enqueued():
    q = queue()
    q.update(unit(4, seed=1), unit(4, seed=2), index(4))
    assert torch.equal(q.keys[:4], unit(4, seed=2))


def test_a_query_meets_the_keys_of_earlier_steps_and_none_of_its_own_batch():
    q, k = queue(), unit(4)
    contrast = q.look_up(unit(4, seed=1), k, index(4), 0)
    assert torch.equal(contrast.key, k)
    assert torch.equal(contrast.others, queue().keys)
    assert contrast.log_count is None


def test_how_full_a_queue_is():
    assert [queue().filled(n) for n in (0, 4, 10, 400)] == [0, 0.4, 1, 1]


@pytest.mark.parametrize("images", [65536, 50000, 1000])
def test_a_queue_as_large_as_the_data_is_refused_naming_the_flag_and_the_way_out(images):
    with pytest.raises(MocoError, match=r"65536") as error:
        build_dictionary(v1(), images, torch.Generator())
    assert str(images) in str(error.value)
    assert "--dictionary.size" in str(error.value)
    assert "auto" in str(error.value)


def test_a_queue_smaller_than_the_data_is_built():
    built = build_dictionary(replace(v1(), dictionary=Queue(size=99)), 100, torch.Generator())
    assert isinstance(built, KeyQueue)
    assert built.keys.shape == (99, 128)


def test_recipes_get_the_dictionary_they_name():
    assert isinstance(build_dictionary(simclr(), 10, torch.Generator()), BatchKeys)
    bank = build_dictionary(memory_bank(), 10, torch.Generator())
    assert isinstance(bank, MemoryBank)
    assert bank.entries.shape == (10, 128)
    assert (bank.drawn, bank.m) == (65536, 0.5)


def test_the_keys_of_the_batch_are_all_but_its_own():
    contrast = BatchKeys(both_views=False).look_up(unit(3), unit(3, seed=1), index(3), 0)
    assert torch.equal(contrast.others, unit(3, seed=1))
    expected = [[-math.inf if i == j else 0.0 for j in range(3)] for i in range(3)]
    assert contrast.log_count.tolist() == expected


def test_keys_of_the_batch_pass_their_gradient_on():
    k = unit(3).requires_grad_()
    contrast = BatchKeys(both_views=True).look_up(unit(3, seed=1), k, index(3), 0)
    assert contrast.key.requires_grad
    assert contrast.others.requires_grad


def bank(images=6, drawn=4, m=0.5):
    return MemoryBank(images, drawn, 8, m, 0, torch.Generator().manual_seed(0))


def test_the_positive_of_a_bank_is_the_images_own_entry():
    b = bank()
    where = torch.tensor([4, 0, 5])
    contrast = b.look_up(unit(3), unit(3), where, 0)
    assert torch.equal(contrast.key, b.entries[where])
    assert torch.isin(contrast.others, b.entries).all()
    assert len(contrast.others) == 4


@pytest.mark.parametrize("m", [0.0, 0.5, 0.9])
def test_an_entry_of_a_bank_moves_to_the_normalised_mixture(m):
    b, before, q = bank(m=m), bank().entries, unit(2, seed=3)
    b.update(q, q, torch.tensor([4, 1]))
    for row, image in enumerate((4, 1)):
        mixed = m * before[image] + (1 - m) * q[row]
        torch.testing.assert_close(b.entries[image], mixed / mixed.norm())
    untouched = [0, 2, 3, 5]
    assert torch.equal(b.entries[untouched], before[untouched])


def test_how_much_of_a_bank_was_visited():
    assert [bank().filled(n) for n in (0, 3, 6, 60)] == [0, 0.5, 1, 1]
