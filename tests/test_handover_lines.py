"""The lines that are handed over build, by the library alone, a network with the tensors of ours."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from moco.backbones import build_backbone
from moco.handover.architecture import architecture
from moco.handover.lines import classifier_place, head_source, timm_lines, torchvision_lines

RGB = SimpleNamespace(channels=3)
RESNETS = [
    ("resnet18", "imagenet"),
    ("resnet50", "small"),
    ("resnet10w8", "small"),
    ("resnet34w16", "imagenet"),
    ("resnet50w128", "imagenet"),
    ("resnet50w16", "half"),
    ("resnext50_32x4d", "imagenet"),
    ("wide_resnet50_2", "imagenet"),
]
MODELS = [("mobilenet_v3_small", "imagenet"), ("efficientnet_b0", "imagenet"), ("googlenet", "imagenet")]


def built(lines):
    scope = {}
    with torch.device("meta"):
        exec("\n".join(lines), scope)
    assert "moco" not in "\n".join(lines)
    return {name: tuple(t.shape) for name, t in scope["net"].state_dict().items()}


def ours(name, stem):
    with torch.device("meta"):
        backbone, _ = build_backbone(name, stem)
    shapes = {name: tuple(t.shape) for name, t in backbone.state_dict().items()}
    return architecture(SimpleNamespace(backbone=backbone, name=name, preprocess=RGB)), shapes


@pytest.mark.parametrize(("name", "stem"), [*RESNETS, *MODELS])
def test_torchvision_lines_build_it(name, stem):
    a, shapes = ours(name, stem)
    assert built(torchvision_lines(a)) == shapes


@pytest.mark.parametrize(("name", "stem"), [*RESNETS, ("timm:convnext_atto", "imagenet")])
def test_timm_lines_build_it(name, stem):
    a, shapes = ours(name, stem)
    assert built(timm_lines(a)) == shapes


def test_a_head_takes_the_place_of_the_classifier():
    a, shapes = ours("resnet10w8", "small")
    head = head_source(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16)))
    more = {"fc.0.weight": (64, 64), "fc.0.bias": (64,), "fc.2.weight": (16, 64), "fc.2.bias": (16,)}
    assert built(torchvision_lines(a, head)) == shapes | more
    assert built(timm_lines(a, head)) == shapes | more


def test_heads_are_written_as_python_or_not_at_all():
    assert head_source(nn.Sequential(nn.Linear(8, 4))) == "nn.Linear(8, 4)"
    normed = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU())
    assert head_source(normed) == "nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU())"
    assert head_source(nn.Sequential(nn.GELU())) is None


def test_where_torchvision_keeps_its_classifier():
    assert classifier_place(ours("resnet18", "imagenet")[0]) == "fc"
    assert classifier_place(ours("mobilenet_v3_small", "imagenet")[0]) == "classifier.3"
