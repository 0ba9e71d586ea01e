"""The end-to-end mechanism (v1, figure 2a; facts 1.6), by loops, against the recipe end-to-end."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from plain import CPU, noise, on_gpus

from moco.ops.draw import permutation, stream
from moco.recipe import EndToEnd, end_to_end
from moco.training import build_training, train_step

IMAGES, N, GROUP, T = 60, 12, 4, 0.07


def training(shuffle=True):
    encoder = replace(end_to_end().encoder, backbone="resnet10w8", stem="small", dim=16, norm_group=GROUP)
    recipe = replace(end_to_end(), encoder=encoder, keys=EndToEnd(shuffle=shuffle), image_size=16, batch=N, seed=1)
    return build_training(recipe, IMAGES, CPU)


def figure_2a(t, detach_keys=False, shuffle=True):
    """The loss, and an encoder with its gradients."""
    f, b = copy.deepcopy(t.model.query_encoder), noise(N, IMAGES)
    x_q, x_k = t.views(b.pixels, b.sizes, b.index, 0)
    order = torch.from_numpy(permutation(N, 1, stream("shuffle"), 0, 0)) if shuffle else torch.arange(N)
    q, k = on_gpus(f, x_q, GROUP), on_gpus(f, x_k[order], GROUP)[torch.argsort(order)]
    if detach_keys:
        k = k.detach()
    losses = []
    for i in range(N):
        others = [torch.exp(q[i] @ k[j] / T) for j in range(N) if j != i]
        assert len(others) == N - 1
        own = torch.exp(q[i] @ k[i] / T)
        losses.append(-torch.log(own / (own + sum(others))))
    loss = torch.stack(losses).mean()
    loss.backward()
    return loss.item(), f


def gradient(encoder):
    return torch.cat([p.grad.flatten() for p in encoder.parameters()])


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_keys_of_the_other_images_are_the_negatives_and_gradients_flow_through_both_views(shuffle):
    t = training(shuffle)
    expected, f = figure_2a(t, shuffle=shuffle)
    assert train_step(t, noise(N, IMAGES)).loss.item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(gradient(t.model.query_encoder), gradient(f), rtol=1e-3, atol=2e-5)


def test_without_the_gradient_of_the_keys_the_step_would_be_another():
    t = training()
    _, f = figure_2a(t, detach_keys=True)
    train_step(t, noise(N, IMAGES))
    ours, theirs = gradient(t.model.query_encoder), gradient(f)
    assert (ours - theirs).norm() > 0.1 * ours.norm()


def test_shuffling_changes_the_keys_and_not_the_queries():
    shuffled, plain = (t.model.turns(*views(t), 0)[0] for t in (training(), training(False)))
    torch.testing.assert_close(shuffled.ask(slice(0, N)), plain.ask(slice(0, N)))
    assert (shuffled.keys - plain.keys).norm() > 0.01 * plain.keys.norm()


def views(t):
    b = noise(N, IMAGES)
    return t.views(b.pixels, b.sizes, b.index, 0)


def test_gradients_reach_the_images_of_the_keys_through_shuffled_groups():
    t = training()
    x_q, x_k = views(t)
    x_k = x_k.clone().requires_grad_()
    t.model.turns(x_q, x_k, 0)[0].keys[0, 0].backward()
    order = permutation(N, 1, stream("shuffle"), 0, 0).tolist()
    place = order.index(0) // GROUP * GROUP
    touched = x_k.grad.flatten(1).norm(dim=1).nonzero().flatten().tolist()
    assert touched == sorted(order[place : place + GROUP]), "the BatchNorm group of image 0, and no other image"


def test_there_is_no_key_encoder_and_no_stored_key():
    t = training()
    assert t.model.key_encoder is None
    assert t.dictionary.state_dict() == {}
