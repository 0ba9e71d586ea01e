"""The plain ViT: timm's names, layout and numbers; a name for each; patches that are dropped before the first block."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from moco.backbones import build_backbone, refuse_size
from moco.errors import MocoError
from moco.recipe.vit import VitName, vit_name
from moco.vit import ViT, sines_and_cosines

SMALL = VitName(depth=2, width=32, patch=4, side=16, heads=4)


def net(shape=SMALL, channels=3):
    torch.manual_seed(0)
    return ViT(shape, channels).eval()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("vit12w384p16h12", VitName(12, 384, 16, 224, 12)),
        ("vit12w768p16", VitName(12, 768, 16, 224, 12)),
        ("vit6w192p4s32", VitName(6, 192, 4, 32, 3)),
        ("vit24w1280p14s518", VitName(24, 1280, 14, 518, 16)),
    ],
)
def test_a_name_is_its_numbers_and_back(name, shape):
    assert vit_name(name) == shape
    assert str(shape) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vit2w32p5s32", "patches of 5 px do not divide images of 32 px; take one of 2, 4, 8, 16"),
        ("vit2w30p4s32", "a width of 30 does not divide by 4"),
        ("vit2w32p4s32h5", "by 5 heads"),
    ],
)
def test_a_vit_that_cannot_be_is_refused_with_what_can(name, words):
    with pytest.raises(MocoError, match=words):
        build_backbone(name)


def test_other_names_are_no_vit():
    assert [vit_name(name) for name in ("vit_b_16", "timm:vit_tiny_patch16_224", "resnet18", "vitw4")] == [None] * 4


def test_it_is_timms_vit_tensor_by_tensor_and_number_by_number():
    timm = pytest.importorskip("timm")
    theirs = timm.create_model(
        "vit_small_patch16_224", img_size=16, patch_size=4, embed_dim=32, depth=2, num_heads=4, num_classes=0
    ).eval()
    ours = net()
    assert [(k, v.shape) for k, v in theirs.state_dict().items()] == [
        (k, v.shape) for k, v in ours.state_dict().items()
    ]
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_positions_are_those_of_the_paper_and_take_no_gradient():
    positions = sines_and_cosines(3, 8)
    assert positions.shape == (1, 10, 8)
    assert not positions[0, 0].any(), "the class token has none"
    row, column = 2, 1
    omega = torch.tensor([1.0, 0.01])
    expected = torch.cat([(row * omega).sin(), (row * omega).cos(), (column * omega).sin(), (column * omega).cos()])
    torch.testing.assert_close(positions[0, 1 + row * 3 + column], expected)
    assert not net().pos_embed.requires_grad


def test_keeping_all_patches_in_order_changes_nothing_and_keeping_some_is_the_vit_of_those_alone():
    ours, x = net(), torch.randn(2, 3, 16, 16)
    every = torch.arange(16).expand(2, -1)
    torch.testing.assert_close(ours(x, every), ours(x))
    kept = torch.tensor([[0, 5, 9], [3, 4, 15]])
    tokens = ours.patch_embed(x).flatten(2).transpose(1, 2) + ours.pos_embed[:, 1:]
    some = torch.stack([tokens[n, kept[n]] for n in range(2)])
    first = ours.cls_token + ours.pos_embed[:, :1]
    expected = ours.norm(ours.blocks(torch.cat([first.expand(2, -1, -1), some], dim=1)))[:, 0]
    torch.testing.assert_close(ours(x, kept), expected)


def test_what_is_dropped_has_no_say():
    ours, x = net(), torch.randn(1, 3, 16, 16)
    kept = torch.tensor([[0, 1, 2]])
    other = x.clone()
    other[:, :, 4:] = 7.0  # patches 4 to 15
    torch.testing.assert_close(ours(x, kept), ours(other, kept))


def test_images_of_another_size_get_positions_drawn_out_over_them_and_others_are_refused():
    ours = net()
    assert ours(torch.randn(1, 3, 32, 24)).shape == (1, 32)
    square = ours.pos_embed[:, 1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
    drawn = F.interpolate(square, size=(8, 8), mode="bicubic", antialias=True)
    torch.testing.assert_close(ours._positions(8, 8)[:, 1:], drawn.flatten(2).transpose(1, 2))
    refuse_size(ours, "vit2w32p4s16h4", 16)


def test_it_is_traced_for_any_number_of_images():
    """What formats such as ONNX are written from."""
    ours, x = net(), torch.randn(5, 3, 16, 16)
    any_number = {"images": {0: torch.export.Dim("images")}}
    traced = torch.export.export(ours, (x[:2],), dynamic_shapes=any_number)
    torch.testing.assert_close(traced.module()(x), ours(x))
