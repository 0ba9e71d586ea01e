"""More that asks for a key than one view: Fast-MoCo's patches and SwAV's small crops, and views that grow.

Fast-MoCo (arXiv:2207.08220, section 3.2): the online branch's view is split into 2 x 2 patches, each is encoded by the
backbone alone, the features of each two patches are averaged (combined), and the six combined vectors are each
contrasted with the target branch's whole view. SwAV (arXiv:2006.09882, section 3.2 and equation 6): small crops are
encoded too, ask for what the whole views say, and are no targets themselves; each term of a view weighs the same. Sizes
that grow with the run: arXiv:2212.05611, section 3.
"""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain import CPU, noise, on_gpus, smooth_
from torch.nn import functional as F

from moco.data.array import Array
from moco.data.loader import MemoryLoader, Plan, WorkerLoader
from moco.data.memory import load_memory
from moco.drawn import draw
from moco.errors import MocoError
from moco.ops.draw import permutation, stream
from moco.optim import learning_rate
from moco.recipe import (
    Batch,
    Cosine,
    Encoder,
    EndToEnd,
    Queries,
    Queue,
    check,
    cifar,
    memory_bank,
    override,
    v2,
    v3_small,
)
from moco.training import build_training, train_step
from moco.two_views import Views, apply

IMAGES, N, K, GROUP, T, M = 48, 8, 32, 4, 0.1, 0.99
SMALL = Queries(small=2, small_size=8, small_scale=(0.1, 0.5))


def recipe_of(queries, symmetric=False, **fields):
    base = cifar()
    return replace(
        base,
        encoder=Encoder(backbone="resnet10w8", stem="small", dim=16, norm_group=GROUP, head_layers=2),
        queries=queries,
        dictionary=Queue(size=K),
        loss=replace(base.loss, symmetric=symmetric, halves="mean"),
        image_size=16,
        batch=N,
        epochs=100,
        **fields,
    )


def nce(q, k, queue):
    """The mean over images of the loss of one query each."""
    losses = []
    for n in range(N):
        logits = torch.stack([q[n] @ k[n], *(q[n] @ other for other in queue)]) / T
        losses.append(F.cross_entropy(logits[None], torch.tensor([0])))
    return torch.stack(losses).mean()


def whole(f, x):
    return [on_gpus(f, x, GROUP)]


def split_encode_combine(f, x):
    """The six queries of each view: patches row by row, each through the backbone, two and two put together."""
    side = x.shape[-1] // 2
    places = [(0, 0), (0, side), (side, 0), (side, side)]
    alone = [on_gpus(f.backbone, x[:, :, y : y + side, z : z + side].contiguous(), GROUP) for y, z in places]
    together = [(alone[a] + alone[b]) / 2 for a, b in itertools.combinations(range(4), 2)]
    return [F.normalize(f.head(vector), dim=1) for vector in together]


def small_crops(recipe, batch):
    """What the two crops of each image are drawn to be, by the numbers behind those of the views."""
    view = replace(recipe.query_view, scale=recipe.queries.small_scale)
    made = []
    for number in range(2, 2 + recipe.queries.small):
        height, width = batch.sizes.T
        drawn = draw(view, height, width, seed=recipe.seed, epoch=batch.epoch, index=batch.index, number=number)
        made.append(apply(view, drawn, batch.pixels, recipe.queries.small_size, recipe.normalize))
    return made


def written_step(t, batch, ask):
    """Loss and gradients of a step as the papers have it, and the keys that are enqueued."""
    f_q, f_k = copy.deepcopy(t.model.query_encoder), copy.deepcopy(t.model.key_encoder)
    x_q, x_k = t.views.at(t.step, 100 * (IMAGES // N))(batch.pixels, batch.sizes, batch.index, batch.epoch)
    ways = [(x_q, x_k), (x_k, x_q)] if t.recipe.loss.symmetric else [(x_q, x_k)]
    losses, keys = [], []
    for half, (asks, answers) in enumerate(ways):
        shuffle = torch.from_numpy(permutation(N, t.recipe.seed, stream("shuffle"), t.step, half))
        with torch.no_grad():
            k = on_gpus(f_k, answers[shuffle], GROUP)[torch.argsort(shuffle)]
        queries = ask(f_q, asks)
        if half == 0:
            queries += [q for x in small_crops(t.recipe, batch) for q in whole(f_q, x)]
        losses.append(torch.stack([nce(q, k, t.dictionary.keys) for q in queries]).mean())
        keys.append(k)
    loss = torch.stack(losses).mean()
    loss.backward()
    return loss.item(), [p.grad for p in f_q.parameters()], torch.cat(keys[::-1])


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    ("queries", "ask"),
    [
        (Queries(patches=2), split_encode_combine),
        (SMALL, whole),
        (replace(SMALL, patches=2), split_encode_combine),
    ],
    ids=["Fast-MoCo", "multi-crop", "both"],
)
def test_the_loss_is_the_mean_over_all_that_ask_and_keys_of_whole_views_are_enqueued_once(queries, ask, symmetric):
    recipe = recipe_of(queries, symmetric)
    check(recipe)
    t = build_training(recipe, IMAGES, CPU)
    smooth_(t.model)
    batch = noise(N, IMAGES)
    loss, gradients, keys = written_step(t, batch, ask)
    assert train_step(t, batch).loss.item() == pytest.approx(loss, rel=1e-5)
    for (name, p), gradient in zip(t.model.query_encoder.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert int(t.dictionary.pointer) == len(keys) % K, "small crops and patches are no keys"
    torch.testing.assert_close(t.dictionary.keys[: len(keys)], keys, rtol=1e-4, atol=1e-5)


def test_the_comparison_notices_patches_that_are_put_together_behind_the_head():
    def late(f, x):
        side = x.shape[-1] // 2
        places = [(0, 0), (0, side), (side, 0), (side, side)]
        alone = [on_gpus(f, x[:, :, y : y + side, z : z + side].contiguous(), GROUP) for y, z in places]
        return [F.normalize(alone[a] + alone[b], dim=1) for a, b in itertools.combinations(range(4), 2)]

    t = build_training(recipe_of(Queries(patches=2)), IMAGES, CPU)
    smooth_(t.model)
    batch = noise(N, IMAGES)
    loss, _, _ = written_step(t, batch, late)
    assert train_step(t, batch).loss.item() != pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("queries", [Queries(), replace(SMALL, patches=2)], ids=["whole views", "small crops, patches"])
def test_views_grow_by_equal_parts_of_the_run_and_are_those_of_a_recipe_of_their_size(queries):
    recipe = recipe_of(queries, first_sizes=(8, 12))
    recipe = override(recipe, {"steps": 9})
    check(recipe)
    t = build_training(recipe, IMAGES, CPU)
    seen, wholes = [], []
    t.model.key_encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    for step in range(9):
        size = (8, 12, 16)[step // 3]
        batch = noise(N, IMAGES, step)
        wholes.append(
            Views(replace(recipe, image_size=size, first_sizes=()))(
                batch.pixels, batch.sizes, batch.index, batch.epoch
            )[1]
        )
        train_step(t, batch)
    for step, (x, expected) in enumerate(zip(seen, wholes, strict=True)):
        back = np.argsort(permutation(N, 0, stream("shuffle"), step, 0))
        torch.testing.assert_close(x[back], expected)
    assert [x.shape[-1] for x in seen] == [8] * 3 + [12] * 3 + [16] * 3


def test_small_crops_that_workers_cut_are_those_of_images_in_memory_but_for_rounding(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (N, 20, 24, 3), dtype=np.uint8).repeat(2, 1).repeat(2, 2)
    np.save(tmp_path / "x.npy", images)
    source, recipe = Array(tmp_path / "x.npy"), override(recipe_of(SMALL, first_sizes=(8,)), {"steps": 4})
    views, plan = Views(recipe, small=True), Plan(N, N, None, 0, 4)
    memory = MemoryLoader(load_memory(source, 1)[0]).batches(plan, 0)
    read = WorkerLoader(source, views, 0).batches(plan, 0)
    for step, (kept, cut) in enumerate(zip(memory, read, strict=True)):
        here = views.at(step, 4)
        assert here.size == (8 if step < 2 else 16)
        for number in range(4):
            one = here.one(number, kept.pixels, kept.sizes, kept.index, kept.epoch)
            other = here.one(number, cut.pixels, None, cut.index, cut.epoch)
            assert one.shape == other.shape == (N, 3, here.side(number), here.side(number))
            assert (one - other).abs().mean() < 0.02


def test_cycles_are_cosines_of_equal_length_that_each_begin_at_the_whole_rate():
    """SGDR (arXiv:1608.03983), equation 5 with eta_min = 0 and periods of one length."""
    recipe = replace(v2(), schedule=Cosine(per="step", warmup_epochs=1.0, cycles=3), epochs=None, steps=100)
    for step in range(10, 100):
        t_cur, period = (step - 10) % 30, 30
        expected = 0.03 * 0.5 * (1 + math.cos(math.pi * t_cur / period))
        assert learning_rate(recipe, step, 10) == pytest.approx(expected, abs=1e-12)
    uneven = replace(v2(), schedule=Cosine(per="step", cycles=3), epochs=None, steps=99)
    assert [learning_rate(uneven, step, 10) for step in (0, 33, 66)] == pytest.approx([0.03] * 3)
    assert learning_rate(replace(v2(), schedule=Cosine(cycles=2)), 100 * 7, 7) == 0.03
    assert learning_rate(replace(cifar(), schedule=Cosine(first_epoch=1, cycles=2)), 199 * 7, 7) == 0


@pytest.mark.parametrize(
    ("base", "changes", "words"),
    [
        (v2(), {"first_sizes": (300,)}, "--first-sizes 300: each must lie between 1 and --image-size 224"),
        (v2(), {"queries.patches": 3}, "--queries.patches 3 does not divide a view of 224 px"),
        (v2(), {"queries.patches": 0}, "--queries.patches 0: 1 to 4 across"),
        (v2(), {"queries.patches": 7}, "--queries.patches 7: 1 to 4 across"),
        (v2(), {"queries.small": -1}, "--queries.small -1: must be 0 or more"),
        (v2(), {"queries.small": 2, "queries.small_size": 300}, "--queries.small-size 300"),
        (v2(), {"queries.small": 2, "first_sizes": (64,)}, "no larger than the smallest view, of 64 px"),
        (v2(), {"queries.small_scale": (0.5, 0.1)}, "--queries.small-scale 0.5 0.1"),
        (v2(), {"keys": EndToEnd(), "dictionary": Batch(), "queries.small": 2}, "keys of a momentum encoder"),
        (memory_bank(), {"queries.patches": 2}, "keys of a momentum encoder"),
        (v3_small(), {"queries.patches": 2}, "vit6w192p4s32 takes images of one size alone"),
        (v3_small(), {"first_sizes": (16,)}, "vit6w192p4s32 takes images of one size alone"),
        (v2(), {"schedule.cycles": 0}, "--schedule.cycles 0: must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(base, changes, words):
    with pytest.raises(MocoError, match=words):
        check(override(base, changes))
