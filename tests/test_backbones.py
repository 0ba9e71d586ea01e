"""Backbones by name: features without classifier, their width, and refusals that say what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torchvision import models

from moco.backbones import build_backbone
from moco.errors import MocoError


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("resnet18", 512),
        ("resnet50", 2048),
        ("mobilenet_v3_small", 1024),
        ("convnext_tiny", 768),
        ("vit_b_16", 768),
        ("timm:resnet18", 512),
        ("resnet10w8", 64),
        ("resnet18w16", 128),
        ("resnet50w8", 256),
    ],
)
def test_a_backbone_gives_one_vector_an_image(name, width):
    torch.manual_seed(0)
    backbone, found = build_backbone(name)
    assert found == width
    assert backbone.training, "ready to be trained"
    side = 224 if name == "vit_b_16" else 64
    with torch.no_grad():
        features = backbone.eval()(torch.randn(2, 3, side, side))
    assert features.shape == (2, width)
    assert features.isfinite().all()
    assert (features[0] - features[1]).norm() > 0.01 * features[0].norm()


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnet_is_torchvisions_without_its_classifier(name):
    with torch.device("meta"):
        ours, _ = build_backbone(name)
        theirs = models.get_model(name)
    shapes = {n: p.shape for n, p in theirs.state_dict().items() if not n.startswith("fc.")}
    assert {n: p.shape for n, p in ours.state_dict().items()} == shapes


@pytest.mark.parametrize(("depth", "same"), [(18, "resnet18"), (50, "resnet50"), (101, "resnet101")])
def test_a_resnet_of_width_64_is_the_ordinary_one(depth, same):
    with torch.device("meta"):
        ours, width = build_backbone(f"resnet{depth}w64")
        theirs, its_width = build_backbone(same)
    assert width == its_width
    assert {n: p.shape for n, p in ours.state_dict().items()} == {n: p.shape for n, p in theirs.state_dict().items()}


def test_a_resnet_twice_as_wide_has_twice_the_channels_everywhere():
    with torch.device("meta"):
        ours, _ = build_backbone("resnet18w128")
        theirs, _ = build_backbone("resnet18")
    wide = dict(ours.named_parameters())
    for name, p in theirs.named_parameters():
        expected = [2 * n if i < 2 and n != 3 else n for i, n in enumerate(p.shape)]
        assert list(wide[name].shape) == expected, name


def test_the_search_for_the_width_leaves_no_trace_in_the_statistics():
    backbone, _ = build_backbone("resnet10w8")
    for name, buffer in backbone.named_buffers():
        expected = 1 if name.endswith("running_var") else 0
        assert (buffer == expected).all(), name


@pytest.mark.parametrize("name", ["resnet18", "resnet10w8"])
def test_the_small_stem_has_stride_1_and_no_pooling(name):
    backbone, width = build_backbone(name, "small")
    assert isinstance(backbone.maxpool, nn.Identity)
    seen = []
    backbone.layer4.register_forward_hook(lambda m, x, out: seen.append(tuple(out.shape[2:])))
    with torch.no_grad():
        assert backbone.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, width)
    assert seen == [(4, 4)], "of 32 x 32"


def test_the_half_stem_has_stride_2_and_no_pooling():
    backbone, _ = build_backbone("resnet10w8", "half")
    assert (backbone.conv1.kernel_size, backbone.conv1.stride) == ((3, 3), (2, 2))
    assert isinstance(backbone.maxpool, nn.Identity)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "timm:resnet18"])
def test_the_small_stem_is_for_torchvisions_resnets_and_says_so(name):
    with pytest.raises(MocoError, match=rf"(?s)stem.*{name}.*imagenet"):
        build_backbone(name, "small")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet19", ["resnet19", "timm:", "resnet18"]),
        ("", ["--encoder.backbone", "timm:"]),
        ("fcn_resnet50", ["fcn_resnet50", "torchvision"]),
        ("resnet19w64", ["resnet19w64", "18", "50"]),
        ("resnet18w4", ["resnet18w4", "widths 8 or more"]),
        ("timm:resnet_19_of_mine", ["timm:resnet_19_of_mine", "timm has no such model", "resnet"]),
        ("timm:", ["timm:"]),
    ],
)
def test_a_name_that_is_none_is_refused_with_what_to_do(name, words):
    with pytest.raises(MocoError) as error:
        build_backbone(name)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_a_model_whose_classifier_is_not_linear_works_or_is_refused(name):
    try:
        _, width = build_backbone(name)
    except MocoError as error:
        assert name in str(error)  # noqa: PT017
    else:
        assert width == 512


def test_without_timm_its_names_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(MocoError, match="pip install"):
        build_backbone("timm:resnet18")


def test_a_narrow_convolution_with_a_stride_has_torchs_values_gradients_and_weights():
    torch.manual_seed(0)
    narrow = build_backbone("resnet10w8", "small")[0]
    torch.manual_seed(0)
    wide = build_backbone("resnet10w16", "small")[0]
    ours = narrow.layer2[0].downsample[0]
    assert type(ours) is not nn.Conv2d
    assert type(wide.layer2[0].downsample[0]) is nn.Conv2d
    theirs = nn.Conv2d(8, 16, 1, stride=2, bias=False)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 9, 12)
    found, expected = ours(x), theirs(x)
    torch.testing.assert_close(found, expected)
    (grad,), (plain,) = (
        torch.autograd.grad(y.square().sum(), c.weight) for y, c in ((found, ours), (expected, theirs))
    )
    torch.testing.assert_close(grad, plain)


NARROW = """
import torch
from moco.backbones import build_backbone
for _ in range(3):
    net = build_backbone("resnet10w8", "small")[0].to(memory_format=torch.channels_last)
    net(torch.randn(2, 3, 96, 96).to(memory_format=torch.channels_last)).square().sum().backward()
    spoilt = [torch.randn(1000) for _ in range(100)]
"""


def test_a_narrow_resnet_learns_from_large_images_and_spoils_no_memory():
    """With AVX-512, oneDNN's own kernel of its 1x1 convolution from 8 channels ends the process."""
    done = subprocess.run([sys.executable, "-c", NARROW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
