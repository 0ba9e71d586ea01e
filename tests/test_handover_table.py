"""What each format can express, in a sentence that names those that can."""

from dataclasses import replace

import pytest
from torch import nn

from moco import MocoError
from moco.encoder import build_encoder
from moco.handover.parcel import parcel_of
from moco.handover.table import FORMATS, obstacle, refuse_what_does_not_fit
from moco.preprocess import Preprocess
from moco.recipe import Normalize, override, v2
from moco.run.load import Opened

EVERYTHING = {"safetensors", "onnx", "torch-export", "huggingface"}
"""Formats that hold any network."""


def parcel(name, stem="imagenet", **options):
    recipe = override(v2(), {"encoder.backbone": name, "encoder.stem": stem})
    encoder, _ = build_encoder(replace(recipe.encoder, norm_group=None))
    preprocess = Preprocess(64, Normalize())
    opened = Opened(
        encoder.backbone, preprocess, lambda seed: encoder.backbone, name, encoder, recipe=recipe, name=name
    )
    return parcel_of(opened, **options)


@pytest.mark.parametrize(
    ("name", "stem", "beside_everything"),
    [
        ("resnet18", "imagenet", {"torchvision", "timm", "detectron2", "mmdetection", "mmpretrain", "official"}),
        ("resnet18", "small", {"torchvision", "timm", "mmpretrain"}),
        ("resnet18", "half", {"torchvision", "timm"}),
        ("resnet18w16", "imagenet", {"torchvision", "timm", "mmdetection", "mmpretrain"}),
        ("resnet50w8", "imagenet", {"torchvision", "timm", "detectron2", "mmdetection", "mmpretrain"}),
        ("resnet10w8", "small", {"torchvision", "timm"}),
        ("mobilenet_v3_small", "imagenet", {"torchvision"}),
        ("shufflenet_v2_x0_5", "imagenet", {"torchvision", "official"}),
        ("googlenet", "imagenet", {"torchvision"}),
        ("timm:convnext_atto", "imagenet", {"timm"}),
    ],
)
def test_which_formats_hold_an_encoder(name, stem, beside_everything):
    one = parcel(name, stem)
    fits = {format_ for format_ in FORMATS if obstacle(format_, one) is None}
    assert fits == EVERYTHING | beside_everything
    for other in set(FORMATS) - fits:
        with pytest.raises(MocoError, match="these formats hold this encoder: ") as error:
            refuse_what_does_not_fit(other, one)
        assert set(str(error.value).rpartition(": ")[2].split(", ")) == fits


def test_a_network_that_asks_for_a_version_leaves_by_code_or_as_a_graph():
    one = parcel("mnasnet0_5")
    assert {f for f in FORMATS if obstacle(f, one) is None} == {"onnx", "torch-export", "huggingface"}
    assert "asks for a version" in str(obstacle("torchvision", one))


def test_heads_and_pixels_narrow_the_choice():
    headed = parcel("resnet18", head=True)
    assert {f for f in FORMATS if obstacle(f, headed) is not None} == {"detectron2", "mmdetection", "mmpretrain"}
    pixels = parcel("resnet18", pixels=True)
    assert {f for f in FORMATS if obstacle(f, pixels) is None} == {"onnx", "torch-export"}


def test_a_network_without_a_name_leaves_as_a_graph_alone():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    one = parcel_of(Opened(net, Preprocess(16, Normalize()), lambda seed: net, "my own"))
    assert {f for f in FORMATS if obstacle(f, one) is None} == {"onnx", "torch-export"}
