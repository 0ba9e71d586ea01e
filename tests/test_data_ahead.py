"""Batches ahead: the same ones in the same order, one of them on its way while a step runs; no step waits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moco.data.ahead import ahead, one_ahead
from moco.data.loader import Batch
from moco.device import place
from moco.machine import Machine
from moco.recipe import cifar, override
from moco.training import build_training, train_step

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def batches(count, size=8, side=16):
    for step in range(count):
        pixels = torch.full((size, 3, side, side), step, dtype=torch.uint8)
        yield Batch(pixels, np.full((size, 2), side), np.arange(size) + size * step, 0, {step: "why"})


def test_on_a_cpu_the_batches_are_what_they_were():
    given = list(batches(3))
    assert all(a is b for a, b in zip(ahead(given, torch.device("cpu")), given, strict=True))


@pytest.mark.parametrize("count", range(4))
def test_each_item_is_sent_once_and_received_in_order_and_the_next_is_sent_before(count):
    events = []

    def send(item):
        events.append(("sent", item))
        return -item

    def receive(sent):
        events.append(("received", -sent))
        return -sent

    for item in one_ahead(range(count), send, receive):
        assert ("sent", min(item + 1, count - 1)) in events, "the next one is on its way"
        assert ("sent", item + 2) not in events, "and no more: memory for two is enough"
        events.append(("step", item))
    for what in ("sent", "received", "step"):
        assert [item for kind, item in events if kind == what] == list(range(count))


def test_an_error_of_the_loader_reaches_the_loop_at_most_a_step_early():
    def broken():
        yield 0
        yield 1
        raise OSError("disk")

    items = one_ahead(broken(), lambda x: x, lambda x: x)
    assert next(items) == 0
    with pytest.raises(OSError, match="disk"):
        next(items)


@cuda
def test_on_a_gpu_they_arrive_whole():
    device = torch.device("cuda")
    for given, got in zip(batches(20, 64, 64), ahead(batches(20, 64, 64), device), strict=True):
        assert got.pixels.is_cuda
        assert torch.equal(got.pixels.cpu(), given.pixels)
        assert got.skipped == given.skipped


@cuda
@pytest.mark.parametrize("store", ["fp32", "int8"])
def test_no_step_on_a_gpu_waits_for_the_host(store):
    small = {"encoder.backbone": "resnet10w8", "image_size": 16, "batch": 8, "encoder.norm_group": 4}
    recipe = override(cifar(), small | {"dictionary.size": 32, "dictionary.store": store, "loss.symmetric": True})
    placement = place(Machine(device="cuda", precision="fp32"))
    t = build_training(recipe, images=64, placement=placement)
    train_step(t, next(batches(1)))  # the optimizer makes its state
    coming = ahead(batches(4), placement.device)
    try:
        torch.cuda.set_sync_debug_mode("error")
        for batch in coming:
            train_step(t, batch)
        with pytest.raises(RuntimeError, match="synchroniz"):
            float(t.first_bad)
    finally:
        torch.cuda.set_sync_debug_mode("default")
