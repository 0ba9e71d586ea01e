"""The models: their names and counts, what their losses are sums of, and BatchNorm that processes share."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from moco.backbones import build_backbone
from moco.device import seeded
from moco.errors import MocoError
from moco.transfer.detectron2 import detectron2_names
from moco.transfer.parts.fcn import FullyConvolutional
from moco.transfer.parts.norm import SharedBatchNorm, freeze_norms_
from moco.transfer.parts.points import point_losses, with_points
from moco.transfer.parts.rcnn import RCNN
from moco.transfer.parts.regions import Sampled, pool, sample
from moco.transfer.parts.stages import dilate_, name_of, resnet_in
from moco.transfer.parts.values import Canvas, Target
from moco.transfer.recipe import FCN, Regions

SMALL = Regions(anchors=(8, 16, 32), before_nms=(200, 100), after_nms=(50, 20), rois=16)
PYRAMID = replace(SMALL, network="fpn", anchors=(8, 16, 32, 64, 128), width=16, hidden=32)


def built(choice, name="resnet10w8", classes=3, points=0):
    with seeded(0, torch.device("cpu")):
        return RCNN(choice, build_backbone(name)[0], classes, points)


def block_names(stage, blocks, convolutions=3):
    """What Detectron2 calls the tensors of a stage of a ResNet."""
    for block in range(blocks):
        own = [f"conv{i + 1}" for i in range(convolutions)] + (["shortcut"] if block == 0 else [])
        for conv in own:
            yield f"{stage}.{block}.{conv}.weight"
            for field in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                yield f"{stage}.{block}.{conv}.norm.{field}"


NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def test_c4_has_the_names_and_shapes_of_res5_roi_heads_extra_norm():
    """Detectron2's R50-C4 with the official repository's extra BatchNorm, for VOC's twenty classes."""
    with torch.device("meta"):
        net = RCNN(Regions(), build_meta("resnet50"), 20, 0)
    names = detectron2_names(net.state_dict())
    wanted = {"backbone.stem.conv1.weight", *(f"backbone.stem.conv1.norm.{field}" for field in NORM)}
    for stage, blocks in (("backbone.res2", 3), ("backbone.res3", 4), ("backbone.res4", 6), ("roi_heads.res5", 3)):
        wanted |= set(block_names(stage, blocks))
    wanted |= {f"roi_heads.res5.norm.{field}" for field in NORM}
    for layer in ("conv", "objectness_logits", "anchor_deltas"):
        wanted |= {f"proposal_generator.rpn_head.{layer}.{field}" for field in ("weight", "bias")}
    for layer in ("cls_score", "bbox_pred"):
        wanted |= {f"roi_heads.box_predictor.{layer}.{field}" for field in ("weight", "bias")}
    assert set(names) == wanted
    shapes = {name: tuple(value.shape) for name, value in names.items()}
    assert shapes["roi_heads.res5.norm.weight"] == (2048,)
    assert shapes["proposal_generator.rpn_head.conv.weight"] == (1024, 1024, 3, 3)
    assert shapes["proposal_generator.rpn_head.objectness_logits.weight"] == (15, 1024, 1, 1)
    assert shapes["proposal_generator.rpn_head.anchor_deltas.weight"] == (60, 1024, 1, 1)
    assert shapes["roi_heads.box_predictor.cls_score.weight"] == (21, 2048)
    assert shapes["roi_heads.box_predictor.bbox_pred.weight"] == (80, 2048)
    resnet50, extra = 23_508_032, 2 * 2048
    rpn = 1024 * 1024 * 9 + 1024 + 75 * 1024 + 75
    predictor = 101 * 2048 + 101
    assert sum(p.numel() for p in net.parameters()) == resnet50 + extra + rpn + predictor


def build_meta(name):
    from torchvision import models

    net = models.get_model(name, weights=None)
    net.fc = nn.Identity()
    return net


def test_the_pyramid_has_detectron2s_names_too():
    net = RCNN(replace(PYRAMID, finds="keypoints"), build_backbone("resnet50w8")[0], 1, 5)
    names = set(detectron2_names(net.state_dict()))
    assert {"backbone.bottom_up.stem.conv1.norm.bias", "backbone.bottom_up.res5.0.shortcut.weight"} <= names
    for level in range(2, 6):
        assert {f"backbone.fpn_lateral{level}.weight", f"backbone.fpn_output{level}.norm.weight"} <= names
    assert {"roi_heads.box_head.fc2.bias", "roi_heads.keypoint_head.conv_fcn8.weight"} <= names
    assert not [name for name in names if name.startswith(("body", "head", "proposals"))]


@pytest.mark.parametrize("name", ["resnet10w8", "resnet50w8", "resnet18w16"])
def test_a_resnet_is_known_by_its_tensors(name):
    assert name_of(build_backbone(name)[0]) == (name, "imagenet")
    for stem in ("small", "half"):
        assert name_of(build_backbone(name, stem)[0]) == (name, stem)


def test_another_architecture_is_refused():
    with pytest.raises(MocoError, match="takes ResNets; this encoder is a AlexNet"):
        resnet_in(build_backbone("alexnet")[0])
    with pytest.raises(MocoError, match="of another kind"):
        resnet_in(build_backbone("wide_resnet50_2")[0])


@pytest.mark.parametrize("name", ["resnet10w8", "resnet50w8"])
def test_a_dilated_stage_keeps_its_size_and_dilates_every_3x3(name):
    net = build_backbone(name)[0]
    channels = net.layer4[0].conv1.in_channels
    dilate_(net.layer4)
    assert net.layer4(torch.zeros(1, channels, 6, 5)).shape[2:] == (6, 5)
    for block in net.layer4:
        threes = [block.conv1, block.conv2] if isinstance(block, BasicBlock) else [block.conv2]
        assert {conv.dilation for conv in threes} == {(2, 2)}


def target(seed=0, masks=False, points=False):
    boxes = torch.tensor([[4.0, 4.0, 30.0, 28.0], [30.0, 20.0, 60.0, 60.0]])
    drawn = torch.zeros(2, 64, 64, dtype=torch.uint8)
    drawn[0, 4:28, 4:30] = drawn[1, 20:60, 30:60] = 1
    dots = torch.tensor([[[10.0, 10.0, 2.0], [20.0, 20.0, 1.0]], [[40.0, 40.0, 2.0], [0.0, 0.0, 0.0]]])
    return Target(boxes, torch.tensor([0, 2]), drawn if masks else None, (1, 1), dots if points else None, seed)


def canvas(images=2):
    return Canvas(torch.randn(images, 3, 64, 64, generator=torch.Generator().manual_seed(1)), ((64, 64),) * images)


CASES = {
    "c4": (SMALL, {"objectness", "proposal boxes", "class", "box"}),
    "c4 masks": (replace(SMALL, finds="masks"), {"objectness", "proposal boxes", "class", "box", "mask"}),
    "c5": (replace(SMALL, network="c5", hidden=32), {"objectness", "proposal boxes", "class", "box"}),
    "fpn masks": (replace(PYRAMID, finds="masks"), {"objectness", "proposal boxes", "class", "box", "mask"}),
    "fpn keypoints": (replace(PYRAMID, finds="keypoints"), {"objectness", "proposal boxes", "class", "box", "points"}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("things", ["some", "none"])
def test_every_parameter_learns_from_every_batch_that_has_things(case, things):
    choice, names = CASES[case]
    net = built(choice, points=2)
    one = target(masks=choice.finds == "masks", points=choice.finds == "keypoints")
    if things == "none":
        one = replace(
            one,
            boxes=one.boxes[:0],
            labels=one.labels[:0],
            masks=None if one.masks is None else one.masks[:0],
            points=None if one.points is None else one.points[:0],
        )
    losses = net.losses(canvas(), [one, replace(one, draw=9)])
    assert set(losses) == names
    sum(total / max(count, 1) for total, count in losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    if things == "some":
        assert all(count > 0 for _, count in losses.values())


@pytest.mark.parametrize("case", CASES)
def test_every_model_learns_and_finds_in_bf16(case):
    choice, _ = CASES[case]
    net = built(replace(choice, least_score=0.0), points=2)
    one = target(masks=choice.finds == "masks", points=choice.finds == "keypoints")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = net.losses(canvas(), [one, one])
        sum(total / max(count, 1) for total, count in losses.values()).backward()
        with torch.no_grad():
            found = net.eval().find(canvas())
    assert all(total.dtype == torch.float32 and total.isfinite() for total, _ in losses.values())
    assert all(p.grad is not None for p in net.parameters())
    assert found[0].boxes.dtype == torch.float32


@pytest.mark.parametrize("case", CASES)
def test_what_is_found_lies_in_its_image_and_is_sorted(case):
    choice, _ = CASES[case]
    net = built(replace(choice, least_score=0.0, most_found=7), points=2).eval()
    with torch.no_grad():
        found = net.find(Canvas(canvas().pixels, ((64, 64), (40, 48))))
    assert len(found) == 2
    for one, (height, width) in zip(found, ((64, 64), (40, 48)), strict=True):
        assert 0 < len(one.boxes) <= 7
        assert one.boxes.min() >= 0
        assert one.boxes[:, 2].max() <= width
        assert one.boxes[:, 3].max() <= height
        assert (one.scores[:-1] >= one.scores[1:]).all()
        assert (one.masks is not None) == (choice.finds == "masks")
        assert one.points is None or one.points.shape == (len(one.boxes), 2, 3)


def test_losses_are_sums_so_that_images_may_be_spread_over_processes():
    """In eval mode (BatchNorm apart) the sums over two images are the sums of the sums over each."""
    net = built(replace(PYRAMID, finds="masks"))
    freeze_norms_(net)
    both, targets = canvas(), [target(3, masks=True), target(4, masks=True)]
    whole = net.losses(both, targets)
    parts = [net.losses(Canvas(both.pixels[i : i + 1], ((64, 64),)), targets[i : i + 1]) for i in range(2)]
    for name, (total, count) in whole.items():
        assert count == sum(part[name][1] for part in parts)
        assert torch.allclose(total, sum(part[name][0] for part in parts), rtol=1e-5)


def test_what_is_sampled_is_a_function_of_the_image_alone():
    proposals = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * 40
    proposals = torch.cat([proposals, proposals + 15], dim=1)
    first, again, other = (sample(proposals, target(seed), 3, 32) for seed in (5, 5, 6))
    assert torch.equal(first.boxes, again.boxes)
    assert not torch.equal(first.boxes, other.boxes)
    assert len(first.which) <= 8
    assert (first.labels[len(first.which) :] == 3).all()


def test_a_large_box_looks_at_a_coarse_level_and_order_is_kept():
    levels = [torch.full((1, 1, 64 >> i, 64 >> i), float(i)) for i in range(4)]
    boxes = torch.tensor([[0.0, 0, 250, 250], [0, 0, 40, 40], [0, 0, 120, 120]])
    seen = pool(levels, [boxes], torch.zeros(1, 3, 256, 256), 2)[:, 0, 0, 0]
    assert seen.tolist() == [2.0, 0.0, 1.0]


def test_keypoints_count_where_they_are_annotated_and_inside():
    one = target(points=True)
    sampled = Sampled(torch.tensor([[4.0, 4, 30, 28], [50, 50, 60, 60]]), torch.tensor([0, 2]), torch.tensor([0, 1]))
    kept = with_points(sampled, one)
    assert kept.which.tolist() == [0], "the second box has no point inside"
    logits = torch.zeros(1, 2, 8, 8)
    total, count = point_losses(logits, [kept], [one])["points"]
    assert count == 2
    assert total.item() == pytest.approx(2 * torch.log(torch.tensor(64.0)).item())


def test_batch_norm_that_is_shared_by_one_process_is_batch_norm():
    torch.manual_seed(0)
    x = torch.randn(6, 8, 5, 4, dtype=torch.float32)
    plain, shared = nn.BatchNorm2d(8), SharedBatchNorm(8)
    nn.init.uniform_(plain.weight)
    shared.load_state_dict(plain.state_dict())
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    up = torch.randn_like(x)
    (plain(a) * up).sum().backward()
    (shared(b) * up).sum().backward()
    assert torch.allclose(a.grad, b.grad, atol=1e-5)
    assert torch.allclose(plain.weight.grad, shared.weight.grad, atol=1e-4)
    assert torch.allclose(plain.running_var, shared.running_var, atol=1e-6)
    assert torch.allclose(plain.running_mean, shared.running_mean, atol=1e-6)
    assert torch.allclose(plain.eval()(x), shared.eval()(x), atol=1e-6)


def test_fcn_gives_a_class_to_each_pixel_and_leaves_void_out():
    net = FullyConvolutional(FCN(width=16), build_backbone("resnet10w8")[0], 4)
    assert [m.dilation for m in net.head if isinstance(m, nn.Conv2d)] == [(6, 6), (6, 6), (1, 1)]
    assert net(torch.zeros(2, 3, 50, 66)).shape == (2, 4, 50, 66)
    assert net.stages(torch.zeros(1, 3, 64, 64))[-1].shape[-1] == 4, "stride 16"
    labels = torch.full((2, 50, 66), 255)
    labels[0, :10, :10] = 1
    total, count = net.losses(torch.zeros(2, 3, 50, 66), labels)["class"]
    assert count == 100
    total.backward()
