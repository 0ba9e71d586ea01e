"""Every family of backbones: one training step, saved, loaded, handed over; and what BatchNorm groups are to it."""

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


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_takes_a_step_is_saved_loaded_and_handed_over(name, tmp_path):
    size = FAMILIES[name]
    t = build_training(recipe(name, size), 64, PLACEMENT)
    grouped = [m for m in t.model.modules() if isinstance(m, GroupBatchNorm)]
    plain = [m for m in t.model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    words = norm_words(t.model.query_encoder, t.recipe.encoder)
    if name in LAYER_NORM:
        assert grouped == []
        assert f"{name} has LayerNorm and no BatchNorm" in words
    else:
        assert grouped
        assert words == ""
    assert plain == [], "one left alone would leak"

    before = [p.detach().clone() for p in t.model.query_encoder.parameters()]
    n = t.recipe.batch
    pixels = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    loss = train_step(t, Batch(pixels, np.full((n, 2), size), np.arange(n), 0, {})).loss
    assert loss.isfinite()
    moved = sum(not torch.equal(a, b) for a, b in zip(before, t.model.query_encoder.parameters(), strict=True))
    assert moved > 0.8 * len(before)

    save_encoder(tmp_path / "encoder.pt", t.model.query_encoder, t.recipe, t.step)
    encoder, preprocess = load(tmp_path / "encoder.pt")
    images = preprocess.normalise(pixels)
    with torch.no_grad():
        ours, again = t.model.query_encoder.backbone.eval()(images), encoder(images)
    assert (ours - again).abs().max() <= 1e-4 * ours.abs().max()
    done = export(tmp_path / "encoder.pt", "timm" if name.startswith("timm:") else "torchvision", tmp_path / "out")
    assert done.difference <= 1e-5


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
