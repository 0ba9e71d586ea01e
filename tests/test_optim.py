"""Optimizers against steps written by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from moco.optim import build_optimizer, set_learning_rate_
from moco.recipe import LARS, SGD, AdamW


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))


def set_gradients_(net, seed):
    g = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        p.grad = torch.randn(p.shape, generator=g)


def test_lars_is_the_step_written_by_hand():
    """v <- momentum v + trust |w| / |g + decay w| (g + decay w); w <- w - lr v; BatchNorm, bias: v <- momentum v + g"""
    choice = LARS(lr=0.3, momentum=0.9, weight_decay=0.01, trust=0.001)
    net = network()
    expected = {name: p.detach().clone() for name, p in net.named_parameters()}
    velocity = {name: torch.zeros_like(p) for name, p in expected.items()}
    optimizer = build_optimizer(choice, net)
    for step in range(5):
        set_gradients_(net, step)
        for name, p in net.named_parameters():
            w, g = expected[name], p.grad.clone()
            if name in ("0.weight", "3.weight"):
                g = g + 0.01 * w
                g = 0.001 * w.square().sum().sqrt() / g.square().sum().sqrt() * g
            velocity[name] = 0.9 * velocity[name] + g
            expected[name] = w - 0.3 * velocity[name]
        optimizer.step()
        for name, p in net.named_parameters():
            torch.testing.assert_close(p.data, expected[name], rtol=1e-5, atol=1e-6)


def test_lars_neither_decays_nor_adapts_biases_and_batchnorm():
    net = network()
    optimizer = build_optimizer(LARS(lr=1.0, momentum=0.0, weight_decay=0.5), net)
    before = copy.deepcopy(net)
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name in ("1.weight", "1.bias", "3.bias"):
        assert torch.equal(net.get_parameter(name), before.get_parameter(name))
    for name in ("0.weight", "3.weight"):
        assert net.get_parameter(name).norm() < before.get_parameter(name).norm()


def test_lars_moves_a_weight_by_a_share_of_its_length_whatever_its_gradient():
    for scale in (1e-3, 1.0, 1e3):
        net = network()
        optimizer = build_optimizer(LARS(lr=1.0, momentum=0.0, weight_decay=0.0, trust=0.001), net)
        set_gradients_(net, 0)
        before = net[3].weight.detach().clone()
        net[3].weight.grad *= scale
        optimizer.step()
        assert (net[3].weight - before).norm().item() == pytest.approx(0.001 * before.norm().item(), rel=1e-4)


def test_lars_takes_plain_steps_from_zero_and_none_without_a_gradient():
    net = network()
    nn.init.zeros_(net[3].weight)
    optimizer = build_optimizer(LARS(lr=0.1, momentum=0.0, weight_decay=0.0), net)
    set_gradients_(net, 0)
    net[0].weight.grad = None
    before = net[0].weight.detach().clone()
    optimizer.step()
    assert torch.equal(net[0].weight, before)
    torch.testing.assert_close(net[3].weight.data, -0.1 * net[3].weight.grad)


def test_the_state_of_lars_goes_on_where_it_was():
    runs = []
    for interrupted in (False, True):
        net = network()
        optimizer = build_optimizer(LARS(), net)
        for step in range(4):
            if interrupted and step == 2:
                state = copy.deepcopy(optimizer.state_dict())
                optimizer = build_optimizer(LARS(), net)
                optimizer.load_state_dict(state)
            set_gradients_(net, step)
            optimizer.step()
        runs.append(net)
    assert all(torch.equal(a, b) for a, b in zip(*(net.parameters() for net in runs), strict=True))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_step_written_by_hand_with_decay_on_every_parameter(nesterov):
    choice = SGD(lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov)
    net = network()
    expected = [p.detach().clone() for p in net.parameters()]
    velocity = [torch.zeros_like(p) for p in expected]
    optimizer = build_optimizer(choice, net)
    for step in range(5):
        set_gradients_(net, step)
        for i, p in enumerate(net.parameters()):
            g = p.grad + 0.01 * expected[i]
            velocity[i] = 0.9 * velocity[i] + g
            expected[i] = expected[i] - 0.1 * (g + 0.9 * velocity[i] if nesterov else velocity[i])
        optimizer.step()
    for p, wanted in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(p.data, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("choice", [SGD(), LARS()], ids=["SGD", "LARS"])
def test_frozen_parameters_are_left_out(choice):
    net = network()
    net[0].weight.requires_grad_(False)
    held = {id(p) for group in build_optimizer(choice, net).param_groups for p in group["params"]}
    assert held == {id(p) for p in net.parameters()} - {id(net[0].weight)}


@pytest.mark.parametrize("choice", [SGD(), LARS()], ids=["SGD", "LARS"])
def test_the_rate_is_set_in_every_group(choice):
    optimizer = build_optimizer(choice, network())
    set_learning_rate_(optimizer, 0.123)
    assert {group["lr"] for group in optimizer.param_groups} == {0.123}


def test_with_the_rate_outside_a_changed_rate_acts_on_the_whole_velocity():
    found = {}
    for rate in ("inside", "outside"):
        layer = nn.Linear(2, 2)
        with torch.no_grad():
            layer.weight.fill_(1.0)
        solver = build_optimizer(LARS(lr=1.0, momentum=0.5, weight_decay=0.0, trust=1.0, rate=rate), layer)
        for lr in (1.0, 0.1):
            set_learning_rate_(solver, lr)
            for p in layer.parameters():
                p.grad = torch.ones_like(p)
            before = layer.bias.detach().clone()
            solver.step()
        found[rate] = float((before - layer.bias.detach())[0])
    assert found["inside"] == pytest.approx(0.5 * 1.0 + 0.1)
    assert found["outside"] == pytest.approx(0.1 * (0.5 + 1.0))


def test_adamw_is_torchs_over_all_parameters_that_train():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    solver = build_optimizer(AdamW(lr=0.1, betas=(0.8, 0.9), weight_decay=0.2), layer)
    assert isinstance(solver, torch.optim.AdamW)
    (group,) = solver.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.1, (0.8, 0.9), 0.2)
    assert group["params"] == [layer.weight]
