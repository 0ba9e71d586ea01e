"""The query encoder, the key encoder, and how keys are made (v1, sections 3.2 and 3.3)."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from moco.data.loader import Batch
from moco.device import Placement
from moco.encoder import build_encoder
from moco.model import Contrastive
from moco.ops.draw import permutation, stream
from moco.recipe import EndToEnd, InfoNCE, Momentum, Predictor, Queue, Stored, end_to_end, memory_bank, v1, v2
from moco.training import build_training, train_step

N, GROUP = 8, 4
CPU = Placement(torch.device("cpu"), bf16=False, channels_last=False, threads=1, reason="")


def recipe_of(base=None, **changes):
    base = base or v2()
    encoder = replace(base.encoder, backbone="resnet10w8", stem="small", dim=16, norm_group=GROUP)
    r = replace(base, encoder=encoder, image_size=16, batch=N)
    if isinstance(r.keys, Momentum):
        r = replace(r, dictionary=Queue(size=20))
    return replace(r, **changes)


def model_of(recipe, seed=0):
    torch.manual_seed(seed)
    return Contrastive(recipe)


def images(seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(N, 3, 16, 16, generator=g), torch.randn(N, 3, 16, 16, generator=g)


def batch(step=0):
    rng = np.random.default_rng(step)
    pixels = torch.from_numpy(rng.integers(0, 256, (N, 3, 20, 20), dtype=np.uint8))
    return Batch(pixels, np.full((N, 2), 20), np.arange(N), 0, {})


def pairs(model, step=0):
    return [(turn.ask(slice(0, N)), turn.keys) for turn in model.turns(*images(), step)]


def test_the_key_encoder_starts_as_an_exact_copy_head_included():
    model = model_of(recipe_of())
    q, k = model.query_encoder.state_dict(), model.key_encoder.state_dict()
    assert q.keys() == k.keys()
    assert any(name.startswith("head.") for name in k)
    for name in q:
        assert torch.equal(q[name], k[name])
        assert q[name].data_ptr() != k[name].data_ptr()


def test_the_key_encoder_gets_no_gradient():
    model = model_of(recipe_of())
    ((q, k),) = pairs(model)
    assert q.requires_grad
    assert not k.requires_grad
    q.sum().backward()
    assert not any(p.requires_grad for p in model.key_encoder.parameters())
    assert all(p.grad is None for p in model.key_encoder.parameters())
    assert all(p.grad is not None for p in model.query_encoder.parameters())


@pytest.mark.parametrize("base", [v1(), v2(), end_to_end(), memory_bank()], ids=lambda r: r.name)
def test_queries_and_keys_are_unit_vectors_in_fp32_even_under_autocast(base):
    model = model_of(recipe_of(base))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = pairs(model)
    for q, k in found:
        for z in (q, k):
            assert z.shape == (N, 16)
            assert z.dtype == torch.float32
            torch.testing.assert_close(z.norm(dim=1), torch.ones(N))


def test_the_momentum_update_is_equation_2_for_every_parameter_head_included():
    model = model_of(recipe_of(keys=Momentum(m=0.9)))
    before = copy.deepcopy(model.key_encoder)
    with torch.no_grad():
        for p in model.query_encoder.parameters():
            p.add_(torch.randn_like(p))
    model.momentum_update(0.9)
    names = [name for name, _ in model.key_encoder.named_parameters()]
    assert any(name.startswith("head.") for name in names)
    for name in names:
        old, new = before.get_parameter(name), model.key_encoder.get_parameter(name)
        torch.testing.assert_close(new.data, (0.9 * old + 0.1 * model.query_encoder.get_parameter(name)).data)


def test_the_momentum_update_touches_no_batchnorm_statistics():
    model = model_of(recipe_of())
    pairs(model)
    before = {n: b.clone() for n, b in model.key_encoder.named_buffers()}
    model.momentum_update(0.9)
    assert all(torch.equal(b, before[n]) for n, b in model.key_encoder.named_buffers())


def test_the_key_encoder_stays_in_train_mode_and_keeps_statistics_of_its_own():
    t = build_training(recipe_of(), 40, CPU)
    for step in range(2):
        train_step(t, batch(step))
    key, query = t.model.key_encoder, t.model.query_encoder
    assert all(m.training for m in key.modules())
    tracked = [b for n, b in key.named_buffers() if n.endswith("num_batches_tracked")]
    assert tracked
    assert all(b == 2 for b in tracked)
    means = [n for n, _ in key.named_buffers() if n.endswith("running_mean")]
    assert all(not torch.equal(key.get_buffer(n), query.get_buffer(n)) for n in means)


@pytest.mark.parametrize("symmetric", [False, True])
def test_there_is_one_momentum_update_a_step(symmetric, monkeypatch):
    t = build_training(recipe_of(loss=InfoNCE(temperature=0.2, symmetric=symmetric), keys=Momentum(m=0.5)), 40, CPU)
    before = [p.clone() for p in t.model.key_encoder.parameters()]
    train_step(t, batch())
    for old, k, q in zip(before, t.model.key_encoder.parameters(), t.model.query_encoder.parameters(), strict=True):
        torch.testing.assert_close(k.data, (0.5 * old + 0.5 * q).data)


def test_the_momentum_update_follows_the_optimizers_step():
    """So after step 1 the key encoder has left its start, as in Algorithm 1."""
    t = build_training(recipe_of(keys=Momentum(m=0.5)), 40, CPU)
    before = [p.clone() for p in t.model.key_encoder.parameters()]
    train_step(t, batch())
    assert all(not torch.equal(a, b) for a, b in zip(before, t.model.key_encoder.parameters(), strict=True))


def test_a_symmetric_loss_has_each_view_as_query_and_as_key():
    model = model_of(recipe_of(loss=InfoNCE(temperature=0.2, symmetric=True), keys=Momentum(shuffle=False)))
    x_q, x_k = images()
    (q_1, k_2), (q_2, k_1) = ((t.ask(slice(0, N)), t.keys) for t in model.turns(x_q, x_k, 0))
    twin = model_of(recipe_of(keys=Momentum(shuffle=False)))
    torch.testing.assert_close(q_1, twin.query_encoder(x_q))
    torch.testing.assert_close(k_2, twin.key_encoder(x_k))
    torch.testing.assert_close(q_2, twin.query_encoder(x_k))
    torch.testing.assert_close(k_1, twin.key_encoder(x_q))


@pytest.mark.parametrize("keys", [Momentum, EndToEnd])
def test_shuffling_encodes_keys_in_other_groups_and_brings_them_back_in_order(keys):
    base = v2() if keys is Momentum else end_to_end()
    plain = model_of(recipe_of(base, keys=keys(shuffle=False)))
    shuffled = model_of(recipe_of(base, keys=keys(shuffle=True)))
    ((q, k),), ((q_plain, k_plain),) = pairs(shuffled), pairs(plain)
    torch.testing.assert_close(q, q_plain)
    assert (k - k_plain).norm() > 1e-2

    order = torch.from_numpy(permutation(N, 0, stream("shuffle"), 0, 0))
    assert (order // GROUP != torch.arange(N) // GROUP).any(), "some image changes its group"
    twin = model_of(recipe_of(base, keys=keys(shuffle=False)))
    encoder = twin.key_encoder or twin.query_encoder
    expected = torch.empty_like(k)
    expected[order] = encoder(images()[1][order])
    torch.testing.assert_close(k, expected)


def test_with_statistics_that_do_not_depend_on_the_batch_shuffling_changes_nothing():
    plain = model_of(recipe_of(keys=Momentum(shuffle=False))).eval()
    shuffled = model_of(recipe_of(keys=Momentum(shuffle=True))).eval()
    for (_, k), (_, k_plain) in zip(pairs(shuffled), pairs(plain), strict=True):
        torch.testing.assert_close(k, k_plain)


def test_with_batchnorm_over_the_whole_batch_shuffling_would_change_nothing():
    """Trap 22: whole-batch BatchNorm does not see the order, so a shuffle alone hides no leak."""
    encoder = replace(recipe_of().encoder, norm_group=N)
    plain = model_of(recipe_of(encoder=encoder, keys=Momentum(shuffle=False)))
    shuffled = model_of(recipe_of(encoder=encoder, keys=Momentum(shuffle=True)))
    for (_, k), (_, k_plain) in zip(pairs(shuffled), pairs(plain), strict=True):
        torch.testing.assert_close(k, k_plain, rtol=1e-4, atol=1e-5)


def test_every_step_and_half_shuffles_anew_and_a_repeated_step_alike():
    model = model_of(recipe_of())
    (_, k_0), (_, k_0_again), (_, k_1) = (pairs(model, step)[0] for step in (0, 0, 1))
    torch.testing.assert_close(k_0, k_0_again)
    assert not torch.allclose(k_0, k_1)
    orders = {tuple(permutation(N, 0, stream("shuffle"), step, half)) for step in range(10) for half in (0, 1)}
    assert len(orders) == 20


def test_without_groups_there_are_ordinary_batchnorms():
    model = model_of(recipe_of(encoder=replace(recipe_of().encoder, norm_group=None)))
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def test_the_head_is_normalised_in_groups_too_where_it_has_batchnorm():
    encoder, _ = build_encoder(replace(recipe_of().encoder, head_norm=True))
    assert [type(m).__name__ for m in encoder.head] == ["Linear", "GroupBatchNorm", "ReLU", "Linear", "GroupBatchNorm"]


def test_stored_keys_are_the_detached_queries():
    model = model_of(recipe_of(memory_bank(), keys=Stored()))
    ((q, k),) = pairs(model)
    assert q.requires_grad
    assert not k.requires_grad
    assert torch.equal(q, k)


def test_weights_are_a_function_of_the_seed_and_the_callers_random_state_is_untouched():
    state = torch.get_rng_state()
    a, b, c = (build_training(recipe_of(seed=seed), 40, CPU) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    weight = [t.model.query_encoder.head[0].weight for t in (a, b, c)]
    assert torch.equal(weight[0], weight[1])
    assert not torch.equal(weight[0], weight[2])


def test_a_training_goes_on_bit_for_bit_from_its_state():
    straight = build_training(recipe_of(), 40, CPU)
    for step in range(4):
        train_step(straight, batch(step))
    halves = build_training(recipe_of(), 40, CPU)
    for step in range(2):
        train_step(halves, batch(step))
    saved = copy.deepcopy(halves.state())
    resumed = build_training(recipe_of(), 40, CPU)
    resumed.restore(saved)
    for step in range(2, 4):
        train_step(resumed, batch(step))
    for part in ("model", "dictionary"):
        a, b = straight.state()[part], resumed.state()[part]
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert straight.step == resumed.step == 4


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_small", "timm:mobilenetv3_small_050"])
def test_in_eval_mode_groups_make_no_difference_to_any_backbone(backbone):
    """Else what is evaluated is another network than the one that was trained."""
    choice = replace(v2().encoder, backbone=backbone, dim=16)
    torch.manual_seed(0)
    plain, _ = build_encoder(replace(choice, norm_group=None))
    grouped, _ = build_encoder(replace(choice, norm_group=4))
    grouped.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        a, b = grouped.eval().backbone(x), plain.eval().backbone(x)
    torch.testing.assert_close(a / b.norm(), b / b.norm())


def test_a_step_is_the_same_again_for_a_backbone_that_drops_units_at_random():
    """Whatever is random is a function of the step: a resumed run draws what the straight one drew."""
    encoder = replace(recipe_of().encoder, backbone="mobilenet_v3_small", stem="imagenet")
    recipe = recipe_of(encoder=encoder, image_size=32)
    losses = []
    for elsewhere in (0, 1):
        t = build_training(recipe, 40, CPU)
        torch.manual_seed(elsewhere)
        losses.append(train_step(t, batch()).loss.item())
    assert losses[0] == losses[1]


def test_a_predictor_stands_behind_queries_alone_is_trained_and_followed_by_nothing():
    recipe = recipe_of(predictor=Predictor(width=12), keys=Momentum(m=0.5, shuffle=False))
    t = build_training(recipe, 40, CPU)
    assert not [name for name, _ in t.model.key_encoder.named_parameters() if "predictor" in name]
    x_q, x_k = images()
    (turn,) = t.model.turns(x_q, x_k, 0)
    projected = t.model.query_encoder.head(t.model.query_encoder.backbone(x_q))
    expected = nn.functional.normalize(t.model.predictor(projected), dim=1)
    torch.testing.assert_close(turn.ask(slice(0, N)), expected)
    torch.testing.assert_close(turn.keys, t.model.key_encoder(x_k))
    before = [p.clone() for p in t.model.predictor.parameters()]
    train_step(t, batch())
    assert all(not torch.equal(a, b) for a, b in zip(before, t.model.predictor.parameters(), strict=True))
