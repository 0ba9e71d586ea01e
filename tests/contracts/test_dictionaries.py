"""What holds for every dictionary: look-up is pure, update is the only mutation, stored vectors stay unit vectors."""

from __future__ import annotations

import copy
import io
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from moco.dictionary import build_dictionary
from moco.ops.info_nce import info_nce
from moco.recipe import Bank, Queue, end_to_end, memory_bank, simclr, v1

IMAGES, N, C = 30, 6, 128

RECIPES = {
    "queue": replace(v1(), dictionary=Queue(size=20)),
    "batch keys": end_to_end(),
    "both views": simclr(),
    "memory bank": replace(memory_bank(), dictionary=Bank(size=10)),
}

every_dictionary = pytest.mark.parametrize("kind", RECIPES)


def build(kind, seed=0):
    return build_dictionary(RECIPES[kind], IMAGES, torch.Generator().manual_seed(seed))


def step(n, seed=0):
    """q, k and the images they are of."""
    g = torch.Generator().manual_seed(seed)
    q, k = (F.normalize(torch.randn(n, C, generator=g), dim=1) for _ in range(2))
    return q, k, torch.randperm(IMAGES, generator=g)[:n]


def state(dictionary):
    return {name: value.clone() for name, value in dictionary.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def equal(a, b):
    return all((x is None and y is None) or torch.equal(x, y) for x, y in zip(a, b, strict=True))


@every_dictionary
def test_look_up_changes_nothing_and_gives_the_same_twice(kind):
    dictionary = build(kind)
    before, rng = state(dictionary), torch.get_rng_state()
    first = dictionary.look_up(*step(N), 7)
    second = dictionary.look_up(*step(N), 7)
    assert equal(first, second)
    assert same(before, state(dictionary))
    assert torch.equal(rng, torch.get_rng_state())


@every_dictionary
def test_update_is_what_changes_the_state_where_there_is_one(kind):
    dictionary = build(kind)
    before = state(dictionary)
    dictionary.update(*step(N))
    assert same(before, state(dictionary)) == (not before)


@every_dictionary
def test_all_state_is_in_the_state_dict(kind):
    """Two dictionaries of the same state are the same, whatever they went through."""
    old = build(kind)
    for seed in range(7):
        old.update(*step(N, seed))
    file = io.BytesIO()
    torch.save(old.state_dict(), file)
    file.seek(0)
    new = build(kind, seed=99)
    new.load_state_dict(torch.load(file, weights_only=True))
    for seed in range(7, 12):
        q, k, index = step(N, seed)
        assert equal(old.look_up(q, k, index, seed), new.look_up(q, k, index, seed))
        for dictionary in (old, new):
            dictionary.update(q, k, index)
        assert same(state(old), state(new))


@every_dictionary
def test_stored_vectors_stay_unit_vectors(kind):
    dictionary = build(kind)
    for seed in range(20):
        for name, value in dictionary.state_dict().items():
            if name != "pointer":
                torch.testing.assert_close(value.norm(dim=1), torch.ones(len(value)))
        dictionary.update(*step(N, seed))


@every_dictionary
def test_what_is_looked_up_has_unit_length_and_fits_the_queries(kind):
    dictionary = build(kind)
    q, k, index = step(N)
    contrast = dictionary.look_up(q, k, index, 0)
    assert contrast.key.shape == (N, C)
    assert contrast.others.shape[1] == C
    torch.testing.assert_close(contrast.others.norm(dim=1), torch.ones(len(contrast.others)))
    if contrast.log_count is not None:
        assert contrast.log_count.shape == (N, len(contrast.others))


@every_dictionary
def test_no_gradient_reaches_stored_vectors_and_none_is_kept_with_them(kind):
    dictionary = build(kind)
    q, k, index = step(N)
    q, k = q.requires_grad_(), k.requires_grad_()
    info_nce(q, dictionary.look_up(q, k, index, 0), 0.1).loss.backward()
    dictionary.update(q, k, index)
    assert not list(dictionary.parameters())
    assert not any(value.requires_grad or value.grad_fn for value in dictionary.buffers())


@every_dictionary
def test_queries_always_have_a_gradient_and_keys_only_where_the_batch_is_the_dictionary(kind):
    dictionary = build(kind)
    q, k, index = step(N)
    q, k = q.requires_grad_(), k.requires_grad_()
    info_nce(q, dictionary.look_up(q, k, index, 0), 0.1).loss.backward()
    assert q.grad.norm() > 0
    assert (k.grad is not None) == (kind in ("batch keys", "both views"))


@every_dictionary
def test_an_update_before_the_backward_pass_changes_no_gradient_unnoticed(kind):
    """A queue is written in place, after the loss has taken what its gradient needs; the others hand out copies."""

    def gradient(update_first):
        dictionary = build(kind)
        q, k, index = step(N)
        q.requires_grad_()
        loss = info_nce(q, dictionary.look_up(q, k, index, 0), 0.1).loss
        if update_first:
            dictionary.update(q, k, index)
        loss.backward()
        return q.grad

    assert torch.equal(gradient(update_first=True), gradient(update_first=False))


@every_dictionary
def test_a_copy_has_a_life_of_its_own(kind):
    dictionary = build(kind)
    before, twin = state(dictionary), copy.deepcopy(dictionary)
    twin.update(*step(N))
    assert same(before, state(dictionary))


@every_dictionary
def test_any_batch_size_is_taken(kind):
    dictionary = build(kind)
    for seed, n in enumerate((2, 7, 13, 20)):
        q, k, index = step(n, seed)
        assert info_nce(q, dictionary.look_up(q, k, index, seed), 0.1).loss.isfinite()
        dictionary.update(q, k, index)


@every_dictionary
def test_filled_is_a_share_that_only_grows(kind):
    shares = [build(kind).filled(n) for n in range(0, 100, 5)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert min(shares) >= 0
