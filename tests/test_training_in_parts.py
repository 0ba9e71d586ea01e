"""A batch that is asked for in parts is the batch: the same loss, gradient, keys and queue, in less memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from moco.data.loader import Batch
from moco.device import Placement
from moco.errors import MocoError
from moco.recipe import RECIPES, memory_bank, override, simclr, v2, v3
from moco.training import build_training, train_step

N, IMAGES = 12, 48
CPU = Placement(torch.device("cpu"), bf16=False, channels_last=False, threads=1, reason="")
RESNET = {"encoder.backbone": "resnet10w8", "encoder.stem": "small", "encoder.dim": 16, "image_size": 16, "batch": N}
HEADS = {"encoder.head_width": 24, "predictor.width": 24}
VIT = {"encoder.backbone": "vit2w16p4s16h2", "encoder.dim": 16, "image_size": 16, "batch": N, "optim.lr": 1e-3}
CASES = {
    "v2, a queue and shuffled keys": ("v2", RESNET | {"encoder.norm_group": 2, "dictionary.size": 30}),
    "v2, both views ask": ("v2", RESNET | {"encoder.norm_group": 4, "dictionary.size": 30, "loss.symmetric": True}),
    "v3 in groups": ("v3", RESNET | HEADS | {"encoder.norm_group": 4, "optim.lr": 0.05}),
    "v3, a ViT, BatchNorm of heads over the whole batch": ("v3-vit", VIT | HEADS),
    "the same, masked": ("v3-vit", VIT | HEADS | {"query_view.keep": 0.5, "query_view.erase": 0.5}),
}


def batch(step, cut=False):
    rng = np.random.default_rng(step)
    if cut:
        pixels = torch.from_numpy(rng.integers(0, 256, (N, 2, 3, 16, 16), dtype=np.uint8))
    else:
        pixels = torch.from_numpy(rng.integers(0, 256, (N, 3, 20, 20), dtype=np.uint8))
    return Batch(pixels, None if cut else np.full((N, 2), 20), rng.permutation(IMAGES)[:N], 0, {})


def training(case, parts):
    name, changes = CASES[case]
    return build_training(override(RECIPES[name](), changes), IMAGES, CPU, parts)


@pytest.mark.parametrize("parts", [1, 3])
def test_a_step_in_parts_runs_for_crops_as_for_whole_images(parts):
    t = training("v2, a queue and shuffled keys", parts)
    assert train_step(t, batch(0, cut=True)).loss.isfinite()


@pytest.mark.parametrize("case", CASES)
def test_the_loss_the_gradient_and_the_state_are_those_of_the_undivided_batch(case):
    whole, divided = training(case, 1), training(case, 3)
    for seed in (0, 2):  # with 1, torch 2.5 rounds one unit of "both views ask" to the other side of its ReLU
        a, b = train_step(whole, batch(seed)), train_step(divided, batch(seed))
        torch.testing.assert_close(torch.stack(list(a)), torch.stack(list(b)), rtol=1e-4, atol=1e-5)
    for name, p in whole.model.named_parameters():
        q = divided.model.get_parameter(name)
        if p.grad is None:
            assert q.grad is None
        else:
            assert (p.grad - q.grad).norm() <= 2e-3 * p.grad.norm() + 1e-5, name
    for name, kept in whole.dictionary.state_dict().items():
        torch.testing.assert_close(kept, divided.dictionary.state_dict()[name], rtol=1e-3, atol=1e-4)
    means = [n for n, _ in whole.model.named_buffers() if n.endswith("running_mean")]
    assert means
    for name in means:
        a, b = whole.model.get_buffer(name), divided.model.get_buffer(name)
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    counts = [n for n, _ in whole.model.named_buffers() if n.endswith("num_batches_tracked")]
    assert all(whole.model.get_buffer(n) == divided.model.get_buffer(n) for n in counts)


def test_the_gradient_of_parts_by_themselves_would_be_another():
    """Each query meets the keys of the whole batch: three batches of a third are not it."""
    case = "v3, a ViT, BatchNorm of heads over the whole batch"
    whole = training(case, 1)
    train_step(whole, batch(0))
    small = build_training(replace(whole.recipe, batch=4), IMAGES, CPU)
    b = batch(0)
    first = replace(b, pixels=b.pixels[:4], sizes=b.sizes[:4], index=b.index[:4])
    train_step(small, first)
    a, b = (torch.cat([p.grad.flatten() for p in t.model.predictor.parameters()]) for t in (whole, small))
    assert (a - b).norm() > 0.1 * a.norm()


@pytest.mark.parametrize(
    ("recipe", "changes", "parts", "words"),
    [
        (v2(), {"encoder.norm_group": 4, "dictionary.size": 30}, 5, "does not divide the 12 images"),
        (v2(), {"encoder.norm_group": 4, "dictionary.size": 30}, 6, "groups of 4 images do not divide a part of 2"),
        (v3(), HEADS, 3, "groups of the whole batch of 12 images do not divide a part of 4"),
        (simclr(), {}, 2, "keys of kind EndToEnd"),
        (memory_bank(), {"encoder.norm_group": 4}, 2, "keys of kind Stored"),
    ],
)
def test_parts_that_would_change_the_method_are_refused_with_what_to_do(recipe, changes, parts, words):
    with pytest.raises(MocoError, match=words):
        build_training(override(recipe, RESNET | changes), IMAGES, CPU, parts)
