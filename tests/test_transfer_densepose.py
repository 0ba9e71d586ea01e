"""DensePose leaves as weights and a configuration that Detectron2 reads."""

import pickle

import pytest
import torch

import moco
from moco.backbones import build_backbone
from moco.commands.transfer import densepose
from moco.errors import MocoError


def test_weights_have_the_names_of_the_official_conversion_and_come_back_the_same(tmp_path):
    torch.manual_seed(0)
    net = build_backbone("resnet50")[0]
    torch.save({"state_dict": net.state_dict()}, tmp_path / "mine.pth")
    weights, config = densepose(str(tmp_path / "mine.pth"), tmp_path / "out")
    content = pickle.loads(weights.read_bytes())
    assert content["matching_heuristics"] is True
    names = set(content["model"])
    assert {"stem.conv1.weight", "stem.conv1.norm.running_var", "res2.0.shortcut.norm.bias"} <= names
    assert {"res5.2.conv3.norm.weight", "res4.5.conv2.weight"} <= names
    assert len(names) == 53 * 5
    again, _ = moco.load(weights)
    for name, value in net.state_dict().items():
        if "tracked" not in name:
            assert torch.equal(again.state_dict()[name], value), name
    words = config.read_text()
    for setting in (
        "BASE_LR: 0.002",
        "MAX_ITER: 130000",
        "STEPS: (100000, 120000)",
        "WARMUP_FACTOR: 0.1",
        "FREEZE_AT: 0",
    ):
        assert setting in words
    assert "PIXEL_MEAN: [123.7, 116.3, 103.5]" in words
    assert str(weights.resolve()) in words


def test_a_resnet_that_detectron2_does_not_have_is_refused(tmp_path):
    torch.save({"state_dict": build_backbone("resnet10w8")[0].state_dict()}, tmp_path / "mine.pth")
    with pytest.raises(MocoError, match=r"is a resnet10w8; Detectron2's DensePose takes resnet50"):
        densepose(str(tmp_path / "mine.pth"), tmp_path / "out")
