"""A ResNet is read off its modules, wherever it was built; everything else goes by its name."""

from types import SimpleNamespace

import pytest
import timm
import torch

from moco.backbones import build_backbone
from moco.handover.architecture import IMAGENET, Model, ResNet, Stem, architecture

RGB = SimpleNamespace(channels=3)


VIT = (("img_size", 16), ("patch_size", 4), ("embed_dim", 32), ("depth", 2), ("num_heads", 4))


def of(name, stem="imagenet"):
    with torch.device("meta"):
        backbone, _ = build_backbone(name, stem)
    return architecture(SimpleNamespace(backbone=backbone, name=name, preprocess=RGB))


@pytest.mark.parametrize(
    ("name", "stem", "expected"),
    [
        ("resnet18", "imagenet", ResNet("basic", (2, 2, 2, 2))),
        ("resnet50", "imagenet", ResNet("bottleneck", (3, 4, 6, 3))),
        ("resnet10w16", "small", ResNet("basic", (1, 1, 1, 1), 16, stem=Stem(kernel=3, stride=1, pooled=False))),
        ("resnet50w128", "imagenet", ResNet("bottleneck", (3, 4, 6, 3), 128)),
        ("resnext101_32x8d", "imagenet", ResNet("bottleneck", (3, 4, 23, 3), groups=32, group_width=8)),
        ("wide_resnet50_2", "imagenet", ResNet("bottleneck", (3, 4, 6, 3), group_width=128)),
        ("timm:resnet18", "imagenet", ResNet("basic", (2, 2, 2, 2))),
        ("timm:resnetblur18", "imagenet", Model("timm", "resnetblur18")),
        ("timm:resnet26d", "imagenet", Model("timm", "resnet26d")),
        ("convnext_tiny", "imagenet", Model("torchvision", "convnext_tiny")),
        ("vit2w32p4s16h4", "imagenet", Model("timm", "vit_small_patch16_224", VIT)),
    ],
)
def test_what_a_backbone_is(name, stem, expected):
    assert of(name, stem) == expected


def test_a_standard_resnet_has_the_name_that_libraries_share():
    assert of("resnet101").standard == "resnet101"
    assert of("wide_resnet50_2").standard == "wide_resnet50_2"
    assert of("resnet50w128").standard is None
    assert of("resnet50").stem == IMAGENET


def test_a_stem_of_stride_2_without_pooling_is_told_from_the_others():
    found = of("resnet18w16", "half")
    assert found.stem == Stem(kernel=3, stride=2, pooled=False)
    assert found.stem.words == "3x3 first convolution of stride 2 with no max-pooling"


def test_the_heads_of_a_transformer_are_told_where_they_are_not_the_usual():
    with torch.device("meta"):
        net = timm.create_model("vit_small_patch16_224", num_classes=0, num_heads=12)
    found = architecture(SimpleNamespace(backbone=net, name="timm:vit_small_patch16_224", preprocess=RGB))
    assert found == Model("timm", "vit_small_patch16_224", (("num_heads", 12),))
    assert of("timm:vit_tiny_patch16_224") == Model("timm", "vit_tiny_patch16_224")
