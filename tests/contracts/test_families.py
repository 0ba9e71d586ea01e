"""Every family of backbones: one training step, saved, loaded, handed over; and what BatchNorm groups are to it."""

import gc
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from moco import load
from moco.backbones import build_backbone
from moco.commands.export import export
from moco.commands.pretrain import pretrain
from moco.data.loader import Batch
from moco.device import place
from moco.encoder import norm_words
from moco.errors import MocoError
from moco.machine import Machine
from moco.ops.batch_norm import GroupBatchNorm
from moco.recipe import override, v2
from moco.run.encoder_file import save_encoder
from moco.training import build_training, train_step

PLACEMENT = place(Machine(device="cpu", precision="fp32", threads=1))

FAMILIES = {
    "resnet10w8": 64,
    "resnext50_32x4d": 64,
    "resnext50_2x8d": 64,
    "wide_resnet50_2": 64,
    "resnet50w2x": 64,
    "resnext50_32x8d": 64,
    "regnet_y_400mf": 64,
    "efficientnet_b0": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "timm:mobilenetv3_small_050": 64,
    "timm:regnetx_002": 64,
    "timm:resnet18": 64,
    "convnext_tiny": 64,
    "timm:convnext_atto": 64,
    "timm:vit_tiny_patch16_224": 224,
}
"""The smallest member of each, and the side of its images."""

LARGE = {"resnet50w4x": 32}
"""Of 375.4 million parameters: trained without momentum on a batch of 4, so that it takes 8 GiB and no more."""

ROOM = {"memory": 10, "disk": 5}
"""GiB that must be free for it."""

LAYER_NORM = {"convnext_tiny", "timm:convnext_atto", "timm:vit_tiny_patch16_224"}


def recipe(name, size=64, **changes):
    small = {
        "encoder.backbone": name,
        "encoder.norm_group": 4,
        "image_size": size,
        "batch": 8 if size < 224 else 4,
        "dictionary.size": 16,
    }
    return override(v2(), small | changes)


def skip_without_room(name, folder):
    """What this machine has no memory or disk for cannot be tried here."""
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = {"memory": int(told["MemAvailable"].split()[0]) >> 20, "disk": shutil.disk_usage(folder).free >> 30}
    for what, needed in ROOM.items():
        if free[what] < needed:
            pytest.skip(f"{name} takes {needed} GiB of {what}, and {free[what]} are free")


@pytest.mark.parametrize("name", [*FAMILIES, *LARGE])
def test_a_family_takes_a_step_is_saved_loaded_and_handed_over(name, tmp_path):
    large = name in LARGE
    if large:
        skip_without_room(name, tmp_path)
    size = (FAMILIES | LARGE)[name]
    t = build_training(recipe(name, size, **({"optim.momentum": 0.0, "batch": 4} if large else {})), 64, PLACEMENT)
    query = t.model.query_encoder
    grouped = [m for m in t.model.modules() if isinstance(m, GroupBatchNorm)]
    plain = [m for m in t.model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    words = norm_words(query, t.recipe.encoder)
    if name in LAYER_NORM:
        assert grouped == []
        assert f"{name} has LayerNorm and no BatchNorm" in words
    else:
        assert grouped
        assert words == ""
    assert plain == [], "one left alone would leak"

    before = [some_of(p) for p in query.parameters()]
    n = t.recipe.batch
    pixels = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    loss = train_step(t, Batch(pixels, np.full((n, 2), size), np.arange(n), 0, {})).loss
    assert loss.isfinite()
    moved = sum(not torch.equal(a, some_of(b)) for a, b in zip(before, query.parameters(), strict=True))
    assert moved > 0.8 * len(before)

    file = tmp_path / "encoder.pt"
    save_encoder(file, query, t.recipe, t.step)
    grouped.clear()
    del t, loss  # the key encoder, the gradients
    query.zero_grad(set_to_none=True)
    gc.collect()
    encoder, preprocess = load(file)
    images = preprocess.normalise(pixels)
    with torch.no_grad():
        ours, again = query.backbone.eval()(images), encoder(images)
    assert (ours - again).abs().max() <= 1e-4 * ours.abs().max()
    del query, encoder
    done = export(file, "timm" if name.startswith("timm:") else "torchvision", tmp_path / "out")
    assert done.difference <= 1e-5
    if large:  # what pytest keeps of the last runs need not be gigabytes
        file.unlink()
        shutil.rmtree(done.folder)


def some_of(p):
    """The first 4,096 numbers of a tensor: enough to see it move."""
    return p.detach().flatten()[:4096].clone()


@pytest.mark.parametrize(
    ("name", "same", "millions", "width"),
    [("resnet50w2x", "resnet50w128", 93.9, 4096), ("resnet50w4x", "resnet50w256", 375.4, 8192)],
)
def test_the_papers_wide_networks_have_their_parameters(name, same, millions, width):
    with torch.device("meta"):
        backbone, found = build_backbone(name)
        other, _ = build_backbone(same)
    assert found == width
    assert round(sum(p.numel() for p in backbone.parameters()) / 1e6, 1) == millions
    assert {n: p.shape for n, p in backbone.named_parameters()} == {n: p.shape for n, p in other.named_parameters()}


def test_the_papers_resnext_has_its_parameters():
    with torch.device("meta"):
        backbone, width = build_backbone("resnext50_32x8d")
    assert width == 2048
    assert round(sum(p.numel() for p in backbone.parameters()) / 1e6) == 46
    assert backbone.layer1[0].conv2.groups == 32


def test_a_transformer_is_told_which_size_it_takes_before_anything_is_trained():
    with pytest.raises(MocoError, match=r"--image-size 64: timm:vit_tiny_patch16_224 does not take.*made for 224"):
        build_training(recipe("timm:vit_tiny_patch16_224", 64), 64, PLACEMENT)


def test_a_run_of_a_model_with_layer_norm_says_that_it_needs_no_groups(digits_file, tmp_path):
    class Heard:
        said: list[str] = []  # noqa: RUF012

        def note(self, text):
            self.said.append(text)

        def __getattr__(self, name):
            return lambda *given: lambda *more: None

    heard = Heard()
    machine = Machine(device="cpu", precision="fp32", threads=1, workers=0, compile="off")
    chosen = recipe("timm:convnext_atto", 32, epochs=None, steps=1)
    pretrain(digits_file, tmp_path / "run", chosen, machine=machine, tell=heard)
    assert sum("needs no groups" in text for text in heard.said) == 1
