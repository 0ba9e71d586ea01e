"""Two towers with momentum keys and a queue each, written out plainly beside the step."""

from __future__ import annotations

import copy
import math
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
from moco.recipe import SGD, EndToEnd, Grouped, Recipe, Text, check, image_text, override
from moco.text.borrowed import borrow
from moco.text.told import Told
from moco.text.words import Words
from moco.training import build_training, train_step
from moco.two_views import KEY, QUERY

IMAGES, N, SIDE, K, DIM = 36, 6, 16, 12, 12
M, LR, TAU = 0.9, 0.02, 0.1
CPU = place(Machine(device="cpu", precision="fp32", threads=1))


def recipe_of(**more) -> Recipe:
    changes = {
        "encoder.backbone": "resnet10w8", "encoder.dim": DIM, "encoder.norm_group": None, "image_size": SIDE,
        "batch": N, "dictionary.size": K, "loss.temperature": TAU, "keys.m": M, "keys.shuffle": False,
        "optim.momentum": 0.0, "optim.weight_decay": 0.0, "optim.lr": LR, "epochs": None, "steps": 5,
        "schedule.per": "step", "text.width": 16, "text.layers": 1, "text.heads": 2, "text.length": 8,
        "text.vocabulary": 300,
    }  # fmt: skip
    return override(replace(image_text(), optim=SGD()), changes | more)


@pytest.fixture(scope="module")
def memory() -> Memory:
    pixels = torch.randint(0, 256, (IMAGES * 3 * SIDE * SIDE,), generator=torch.Generator().manual_seed(0))
    sizes = np.full((IMAGES, 2), SIDE)
    return Memory(pixels.to(torch.uint8), np.arange(IMAGES) * 3 * SIDE * SIDE, sizes, np.arange(IMAGES))


def told_of(texts) -> Told:
    """As if a tokenizer had made these numbers."""
    numbers = torch.randint(4, 300, (len(texts), 8), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
    return Told(Words("", 8), numbers, Groups.named(texts), 0)


def borrowed(folder) -> Told:
    """By a BERT of transformers."""
    bert = pytest.importorskip("text_models").bert
    texts = [f"a photo of {('red', 'dog', 'blue', 'house')[i % 4]} {'[UNK] ' * (i // 4 % 3)}" for i in range(IMAGES)]
    read = borrow(str(bert(folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)), 8)
    return replace(Told.of(texts, read), groups=Groups(np.arange(IMAGES)))


@pytest.mark.parametrize("own", [True, False], ids=["own tower", "borrowed tower"])
def test_five_steps_are_those_of_two_towers_written_out(own, memory, tmp_path):
    recipe, told = recipe_of(), told_of([f"caption {i}" for i in range(IMAGES)]) if own else borrowed(tmp_path)
    t = build_training(recipe, IMAGES, CPU, told=told)
    f_i, f_t = copy.deepcopy(t.model.query_encoder), copy.deepcopy(t.model.text_query_encoder)
    g_i, g_t = copy.deepcopy(f_i).requires_grad_(False), copy.deepcopy(f_t).requires_grad_(False)
    log_scale = torch.tensor(-math.log(TAU), requires_grad=True)
    texts, images = t.dictionary.texts.keys.clone(), t.dictionary.images.keys.clone()
    for batch in MemoryLoader(memory).batches(Plan.of(recipe, range(IMAGES)), 0):  # type: ignore[arg-type]
        pixels, index = memory.batch(batch.index), batch.index
        x_q, x_k = (t.views.one(n, *pixels, index, batch.epoch) for n in (QUERY, KEY))
        words = told.numbers[torch.from_numpy(index)]
        with torch.no_grad():
            k_i, k_t = g_i(x_k), g_t(words)
        q_i, q_t = f_i(x_q), f_t(words)
        to_texts = torch.cat([(q_i * k_t).sum(1, keepdim=True), q_i @ texts.T], 1) * log_scale.exp()
        to_images = torch.cat([(q_t * k_i).sum(1, keepdim=True), q_t @ images.T], 1) * log_scale.exp()
        own = torch.zeros(N, dtype=torch.long)
        loss = (F.cross_entropy(to_texts, own) + F.cross_entropy(to_images, own)) / 2
        parameters = [*f_i.parameters(), *f_t.parameters(), log_scale]
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)  # a pooler is asked for nothing
        rate = t.lr
        with torch.no_grad():
            for p, gradient in zip(parameters, gradients, strict=True):
                p -= rate * gradient
            for f, g in ((f_i, g_i), (f_t, g_t)):
                for a, b in zip(g.parameters(), f.parameters(), strict=True):
                    a.copy_(M * a + (1 - M) * b)
        texts, images = torch.cat([texts, k_t])[N:], torch.cat([images, k_i])[N:]
        found = train_step(t, batch)
        torch.testing.assert_close(found.loss, loss.detach(), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(t.model.log_scale.detach(), log_scale.detach(), rtol=1e-4, atol=1e-5)
        for queue, held in ((t.dictionary.texts, texts), (t.dictionary.images, images)):
            torch.testing.assert_close(torch.roll(queue.keys, -int(queue.pointer), 0), held, rtol=1e-3, atol=1e-3)


def test_the_temperature_is_never_below_one_hundredth(memory):
    recipe = recipe_of(**{"loss.temperature": 0.0101, "optim.lr": 50.0, "steps": 1})
    t = build_training(recipe, IMAGES, CPU, told=told_of([f"caption {i}" for i in range(IMAGES)]))
    t.model.log_scale.data.fill_(9.0)
    t.model.momentum_update(0.5)
    assert float(t.model.temperature.detach()) == pytest.approx(0.01)
    assert "log_scale" in t.state()["model"]
    assert "numbers" not in t.state()["model"]


def test_images_with_the_same_caption_are_no_negatives_of_one_another(memory):
    recipe = recipe_of()
    told = told_of([f"caption {i % 3}" for i in range(IMAGES)])
    t = build_training(recipe, IMAGES, CPU, told=told)
    for batch in MemoryLoader(memory).batches(Plan.of(recipe, range(IMAGES)), 0):  # type: ignore[arg-type]
        train_step(t, batch)
    for queue in (t.dictionary.texts, t.dictionary.images):
        contrast = queue.look_up(torch.zeros(1, DIM), torch.zeros(1, DIM), torch.tensor([4]), 0)
        assert contrast.alike.table()[0].tolist() == (queue.owner == told.groups.of[4]).tolist()
        assert 0 < int(contrast.alike.table().sum()) < K


def test_parts_of_a_batch_change_nothing(memory):
    recipe = recipe_of(**{"batch": 12, "encoder.norm_group": 4, "keys.shuffle": True, "optim.lr": 0.003, "steps": 3})
    losses = []
    for parts in (1, 3):
        t = build_training(recipe, IMAGES, CPU, parts, told=told_of([f"caption {i}" for i in range(IMAGES)]))
        plan = Plan.of(recipe, range(IMAGES))  # type: ignore[arg-type]
        losses.append([float(train_step(t, batch).loss) for batch in MemoryLoader(memory).batches(plan, 0)])
    assert np.allclose(*losses, atol=1e-4)


def test_small_crops_that_ask_leave_texts_their_half_of_the_gradient(memory):
    told, gradients = told_of([f"caption {i}" for i in range(IMAGES)]), []
    for more in ({}, {"queries.small": 2, "queries.small_size": 8}, {"queries.patches": 2}):
        t = build_training(recipe_of(**more), IMAGES, CPU, told=told)
        train_step(t, next(MemoryLoader(memory).batches(Plan.of(t.recipe, range(IMAGES)), 0)))  # type: ignore[arg-type]
        gradients.append(torch.cat([p.grad.flatten() for p in t.model.text_query_encoder.parameters()]))
    assert gradients[0].norm() > 0
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"keys": EndToEnd()}, "keys of kind EndToEnd cannot fill"),
        ({"groups": Grouped()}, "captions say which images show the same"),
        ({"text": Text(heads=3)}, "--text.heads 3 does not divide --text.width 128"),
        ({"text": Text(vocabulary=10)}, "--text.vocabulary 10: must be at least 300"),
        ({"text": Text(held_out=0.9)}, "--text.held-out 0.9: a share above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(change, says):
    with pytest.raises(MocoError, match=says):
        check(replace(image_text(), **change))


def test_without_captions_it_is_not_trained():
    with pytest.raises(MocoError, match="learns from images with captions"):
        build_training(recipe_of(), IMAGES, CPU)
