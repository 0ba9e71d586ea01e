"""Positives from groups beside Algorithm 1 written out key by key: keys of partners, a queue of (key, group)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from moco.data.groups import Groups
from moco.data.loader import MemoryLoader, Plan
from moco.data.memory import Memory
from moco.device import place
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import Grouped, Recipe, check, memory_bank, override, simclr, v2
from moco.training import build_training, train_step
from moco.two_views import KEY, QUERY

IMAGES, N, SIDE, K = 36, 6, 16, 20
TAU, M, LR = 0.2, 0.9, 0.01
CPU = place(Machine(device="cpu", precision="fp32", threads=1))


def recipe_of(positives: int) -> Recipe:
    changes = {
        "encoder.backbone": "resnet10w8", "encoder.dim": 12, "encoder.norm_group": None, "image_size": SIDE, "batch": N,
        "dictionary.size": K, "loss.temperature": TAU, "keys.m": M, "keys.shuffle": False, "optim.momentum": 0.0,
        "optim.weight_decay": 0.0, "optim.lr": LR, "epochs": None, "steps": 9, "schedule.per": "step",
    }  # fmt: skip
    return replace(override(v2(), changes), groups=Grouped(positives=positives))


@pytest.fixture(scope="module")
def memory() -> Memory:
    pixels = torch.randint(0, 256, (IMAGES * 3 * SIDE * SIDE,), generator=torch.Generator().manual_seed(0))
    sizes = np.full((IMAGES, 2), SIDE)
    return Memory(pixels.to(torch.uint8), np.arange(IMAGES) * 3 * SIDE * SIDE, sizes, np.arange(IMAGES))


GROUPS = Groups(np.repeat(np.arange(9), 4))


@pytest.mark.parametrize("positives", [1, 3])
def test_nine_steps_are_those_of_the_algorithm_with_keys_of_partners_and_a_queue_that_knows_groups(memory, positives):
    recipe = recipe_of(positives)
    t = build_training(recipe, IMAGES, CPU, groups=GROUPS)
    f_q, f_k = (build_training(recipe, IMAGES, CPU, groups=GROUPS).model.query_encoder for _ in range(2))
    queue = [(key, -1) for key in t.dictionary.keys.clone()]
    plan = Plan.of(recipe, range(IMAGES), groups=GROUPS)  # type: ignore[arg-type]
    for batch in MemoryLoader(memory).batches(plan, 0):
        images, epoch = batch.index, batch.epoch
        met = GROUPS.partners(images, positives, recipe.seed, epoch)
        assert (GROUPS.of[met] == GROUPS.of[images][:, None]).all()
        assert (met != images[:, None]).all()
        x_q = t.views.one(QUERY, *memory.batch(images), images, epoch)
        names = [i + (p << 40) for i in images for p in range(positives)]
        x_k = t.views.one(KEY, *memory.batch(met.ravel()), np.array(names), epoch)
        with torch.no_grad():
            keys = f_k.train()(x_k)
        q = f_q.train()(x_q)
        total = torch.zeros(())
        for i in range(N):
            own = keys[i * positives : (i + 1) * positives]
            negatives = torch.stack([key for key, group in queue if group != GROUPS.of[images[i]]])
            every = torch.cat([q[i] @ own.T, q[i] @ negatives.T]) / TAU
            total = total + sum(torch.logsumexp(every, 0) - q[i] @ key / TAU for key in own) / positives
        loss = total / N
        f_q.zero_grad()
        loss.backward()
        rate = t.lr
        with torch.no_grad():
            for p in f_q.parameters():
                p -= rate * p.grad
            for a, b in zip(f_k.parameters(), f_q.parameters(), strict=True):
                a.copy_(M * a + (1 - M) * b)
        groups = np.repeat(GROUPS.of[images], positives).tolist()
        if (place := int(t.dictionary.pointer)) + len(keys) <= K:
            queue[place : place + len(keys)] = list(zip(keys, groups, strict=True))
        else:
            for j, pair in enumerate(zip(keys, groups, strict=True)):
                queue[(place + j) % K] = pair
        found = train_step(t, batch)
        torch.testing.assert_close(found.loss, loss.detach(), rtol=1e-4, atol=1e-4)
        assert t.dictionary.owner.tolist() == [group for _, group in queue]
        torch.testing.assert_close(t.dictionary.keys, torch.stack([key for key, _ in queue]), rtol=1e-3, atol=1e-3)


def test_parts_of_a_batch_change_nothing(memory):
    changes = {"batch": 12, "encoder.norm_group": 4, "keys.shuffle": True, "dictionary.size": 30, "optim.lr": 0.003}
    recipe = override(recipe_of(2), changes)
    losses = []
    for parts in (1, 3):
        t = build_training(recipe, IMAGES, CPU, parts, GROUPS)
        plan = Plan.of(recipe, range(IMAGES), groups=GROUPS)  # type: ignore[arg-type]
        losses.append([float(train_step(t, batch).loss) for batch in MemoryLoader(memory).batches(plan, 0)][:4])
    assert np.allclose(*losses, atol=1e-4)


def test_with_the_batch_for_a_dictionary_images_of_the_group_are_no_negatives_either(memory):
    """NT-Xent: 2N - 2 vectors, less those of the images of the query's group, of both views."""
    changes = {
        "encoder.backbone": "resnet10w8", "encoder.dim": 12, "image_size": SIDE, "batch": N, "epochs": None, "steps": 2,
    }  # fmt: skip
    recipe = replace(override(simclr(), changes), groups=Grouped())
    t = build_training(recipe, IMAGES, CPU, groups=GROUPS)
    q, k = F.normalize(torch.randn(2, N, 12, generator=torch.Generator().manual_seed(0)), dim=-1)
    index = torch.tensor([0, 1, 4, 8, 5, 12])
    contrast = t.dictionary.look_up(q, k, index, 0)
    same = contrast.alike.table()
    assert contrast.others.shape == (2 * N, 12)
    assert same.tolist() == [
        [GROUPS.of[i] == GROUPS.of[j] for j in (*index.tolist(), *index.tolist())] for i in index.tolist()
    ]


def test_a_memory_bank_and_several_keys_that_should_ask_back_are_refused():
    with pytest.raises(MocoError, match="a memory bank finds keys by their own image"):
        check(replace(memory_bank(), groups=Grouped()))
    with pytest.raises(MocoError, match="--positives 2: the loss of this recipe is symmetric"):
        check(replace(override(v2(), {"loss.symmetric": True}), groups=Grouped(positives=2)))
    with pytest.raises(MocoError, match="a step of 1024 keys exceeds the dictionary of 1000"):
        check(replace(override(v2(), {"dictionary.size": 1000}), groups=Grouped(positives=4)))
    with pytest.raises(MocoError, match="--positives 0: must be at least 1"):
        check(replace(v2(), groups=Grouped(positives=0)))


def test_a_recipe_with_groups_is_not_trained_without_them():
    with pytest.raises(MocoError, match="takes positives from groups of images: name them"):
        build_training(recipe_of(1), IMAGES, CPU)
