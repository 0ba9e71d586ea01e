"""The recipes, number by number (facts 1.8 to 1.10), and the networks they describe."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
import torch
from torch import nn

from moco.backbones import build_backbone
from moco.encoder import build_encoder
from moco.model import Contrastive
from moco.optim import build_optimizer
from moco.recipe import (
    LARS,
    RECIPES,
    SGD,
    Bank,
    Batch,
    Blur,
    Cosine,
    EndToEnd,
    InfoNCE,
    Jitter,
    Momentum,
    Normalize,
    Queue,
    Steps,
    Stored,
    check,
    cifar,
    end_to_end,
    fast,
    memory_bank,
    simclr,
    v1,
    v2,
)

IMAGENET = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def shapes_of(recipe):
    """The encoder's tensors by name, without memory behind them."""
    with torch.device("meta"):
        encoder, _ = build_encoder(recipe.encoder)
    return encoder


def test_v1_is_facts_1_9():
    r = v1()
    assert (r.encoder.backbone, r.encoder.stem, r.encoder.dim) == ("resnet50", "imagenet", 128)
    assert (r.encoder.head_layers, r.encoder.head_norm) == (1, False)
    assert r.encoder.norm_group == 32, "256 images on 8 GPUs"
    assert r.optim == SGD(lr=0.03, momentum=0.9, weight_decay=1e-4, nesterov=False)
    assert r.schedule == Steps(at=(120, 160), factor=0.1)
    assert r.keys == Momentum(m=0.999, shuffle=True)
    assert r.dictionary == Queue(size=65536)
    assert r.loss == InfoNCE(temperature=0.07, symmetric=False)
    assert (r.batch, r.epochs, r.image_size) == (256, 200, 224)
    assert r.normalize == IMAGENET


def test_v1_views_are_those_of_the_released_code():
    view = v1().query_view
    assert view.scale == (0.2, 1.0)
    assert view.ratio == (3 / 4, 4 / 3)
    assert view.gray == 0.2
    assert view.jitter == Jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, p=1.0), "always, hue 0.4"
    assert view.order.index("gray") < view.order.index("jitter")
    assert view.flip == 0.5
    assert view.blur.p == view.solarize == view.flip_vertical == view.turn == 0
    assert v1().key_view is None, "both views are drawn alike"


def test_v2_differs_from_v1_in_head_views_temperature_and_schedule_only():
    one, two = asdict(v1()), asdict(v2())
    different = {name for name in one if one[name] != two[name]}
    assert different == {"name", "query_view", "encoder", "loss", "schedule"}
    assert {n for n in one["encoder"] if one["encoder"][n] != two["encoder"][n]} == {"head_layers"}
    assert v2().encoder.head_layers == 2
    assert v2().loss == InfoNCE(temperature=0.2)
    assert v2().schedule == Cosine(per="epoch", first_epoch=0, warmup_epochs=0)


def test_v2_views_are_aug_plus():
    view = v2().query_view
    assert view.scale == (0.2, 1.0)
    assert view.jitter == Jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)
    assert view.gray == 0.2
    assert view.blur == Blur(sigma=(0.1, 2.0), p=0.5)
    assert view.order[:3] == ("jitter", "gray", "blur")
    assert view.flip == 0.5
    assert view.solarize == view.flip_vertical == view.turn == 0


def test_cifar_is_the_official_demo():
    r = cifar()
    assert (r.encoder.backbone, r.encoder.stem, r.encoder.dim) == ("resnet18", "small", 128)
    assert (r.encoder.head_layers, r.encoder.head_norm) == (1, False)
    assert r.batch == 512
    assert r.batch // r.encoder.norm_group == 8, "bn-splits 8"
    assert r.optim == SGD(lr=0.06, momentum=0.9, weight_decay=5e-4, nesterov=False)
    assert r.schedule == Cosine(per="epoch", first_epoch=1, warmup_epochs=0)
    assert r.keys == Momentum(m=0.99, shuffle=True)
    assert r.dictionary == Queue(size=4096)
    assert r.loss == InfoNCE(temperature=0.1, symmetric=False, halves="sum")
    assert (r.epochs, r.image_size) == (200, 32)
    assert r.normalize == Normalize(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
    assert (r.knn.k, r.knn.temperature, r.knn.features) == (200, 0.1, "head")


def test_cifar_views_are_those_of_the_official_demo():
    view = cifar().query_view
    assert view.scale == (0.08, 1.0)
    assert view.flip == 0.5
    assert view.jitter == Jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)
    assert view.gray == 0.2
    assert view.order.index("jitter") < view.order.index("gray")
    assert view.blur.p == view.solarize == view.flip_vertical == view.turn == 0, "no blur"


def test_fast_is_the_official_demo_with_what_pays_in_minutes():
    plain, ours = asdict(cifar()), asdict(fast())
    assert {n for n in plain if plain[n] != ours[n]} == {
        *("name", "query_view", "normalize", "encoder", "dictionary", "optim", "schedule", "batch"),
    }
    assert (fast().keys, fast().loss, fast().epochs) == (cifar().keys, cifar().loss, cifar().epochs)
    assert fast().optim.lr / fast().batch == pytest.approx(2 * cifar().optim.lr / cifar().batch)


def test_the_ablations_are_v1_with_other_keys_and_another_dictionary():
    for r, keys, dictionary in (
        (end_to_end(), EndToEnd(shuffle=True), Batch(contrast="keys")),
        (memory_bank(), Stored(), Bank(size=65536, m=0.5)),
    ):
        assert (r.keys, r.dictionary) == (keys, dictionary)
        plain, ours = asdict(v1()), asdict(r)
        assert {n for n in plain if plain[n] != ours[n]} == {"name", "keys", "dictionary"}


def test_simclr_has_no_groups_no_queue_and_a_symmetric_loss():
    r = simclr()
    assert r.encoder.norm_group is None
    assert (r.encoder.head_layers, r.encoder.head_norm) == (2, True)
    assert r.dictionary == Batch(contrast="both-views")
    assert r.loss == InfoNCE(temperature=0.1, symmetric=True, halves="mean")
    assert isinstance(r.optim, LARS)
    assert (r.optim.lr, r.optim.momentum, r.optim.weight_decay) == (0.3 * r.batch / 256, 0.9, 1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_its_own_name_and_can_be_trained(name):
    assert RECIPES[name]().name == name
    check(RECIPES[name]())


@pytest.mark.parametrize(("name", "millions"), [("resnet50", 23.5), ("resnet50w128", 93.9), ("resnet50w256", 375.4)])
def test_wider_resnets_have_the_papers_parameter_counts(name, millions):
    with torch.device("meta"):
        backbone, width = build_backbone(name)
    assert sum(p.numel() for p in backbone.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert width == {"resnet50": 2048, "resnet50w128": 4096, "resnet50w256": 8192}[name]


def test_v1_has_a_linear_head_and_as_many_tensors_as_the_official_checkpoint():
    encoder = shapes_of(v1())
    assert {n: list(p.shape) for n, p in encoder.head.named_parameters()} == {"0.weight": [128, 2048], "0.bias": [128]}
    assert len(encoder.state_dict()) == 320
    assert len(list(encoder.parameters())) == 161


def test_v2_has_an_mlp_head_with_bias_and_without_batchnorm():
    encoder = shapes_of(v2())
    assert [type(layer) for layer in encoder.head] == [nn.Linear, nn.ReLU, nn.Linear]
    assert {n: list(p.shape) for n, p in encoder.head.named_parameters()} == {
        "0.weight": [2048, 2048],
        "0.bias": [2048],
        "2.weight": [128, 2048],
        "2.bias": [128],
    }
    assert len(encoder.state_dict()) == 322
    assert len(list(encoder.parameters())) == 163


def test_cifar_has_a_linear_head_behind_512_features():
    encoder = shapes_of(cifar())
    assert [list(p.shape) for p in encoder.head.parameters()] == [[128, 512], [128]]
    conv = encoder.backbone.conv1
    assert (conv.kernel_size, conv.stride, conv.padding, conv.bias) == ((3, 3), (1, 1), (1, 1), None)
    assert isinstance(encoder.backbone.maxpool, nn.Identity)


@pytest.mark.parametrize("make", [v1, v2, cifar], ids=lambda f: f.__name__)
def test_sgd_acts_on_every_parameter_of_the_query_encoder_with_weight_decay_batchnorm_and_bias_included(make):
    with torch.device("meta"):
        model = Contrastive(make())
    (group,) = build_optimizer(make().optim, model).param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in model.query_encoder.parameters()]
    assert group["weight_decay"] == make().optim.weight_decay > 0
    assert (group["momentum"], group["nesterov"], group["dampening"]) == (0.9, False, 0)


def test_batchnorm_has_momentum_01_and_eps_1e_5_and_starts_at_1_and_0():
    encoder, _ = build_encoder(cifar().encoder)
    norms = [m for m in encoder.modules() if type(m).__name__ == "GroupBatchNorm"]
    assert len(norms) == 20
    for norm in norms:
        assert (norm.momentum, norm.eps, norm.group) == (0.1, 1e-5, 64)
        assert (norm.weight == 1).all(), "no zero-initialised residual branch"
        assert (norm.bias == 0).all()


def test_convolutions_start_kaiming_normal_by_fan_out_and_the_small_stem_with_pytorchs_default():
    torch.manual_seed(0)
    backbone, _ = build_backbone("resnet18", "small")
    stem = backbone.conv1.weight
    bound = 1 / math.sqrt(3 * 3 * 3)  # kaiming_uniform with a = sqrt 5
    assert stem.abs().max() <= bound
    assert stem.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    for name, m in backbone.named_modules():
        if isinstance(m, nn.Conv2d) and name != "conv1":
            fan_out = m.out_channels * m.kernel_size[0] * m.kernel_size[1]
            assert m.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.03), name
            assert m.weight.abs().max() > 2.5 * m.weight.std(), "normal, not uniform"


@pytest.mark.parametrize("name", ["resnet18", "resnet18w16"])
def test_the_imagenet_stem_starts_kaiming_normal_too(name):
    torch.manual_seed(0)
    backbone, _ = build_backbone(name)
    conv = backbone.conv1
    assert (conv.kernel_size, conv.stride, conv.padding) == ((7, 7), (2, 2), (3, 3))
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (conv.out_channels * 49)), rel=0.05)


def test_the_head_starts_with_pytorchs_default():
    torch.manual_seed(0)
    encoder, width = build_encoder(v2().encoder)
    for layer in (encoder.head[0], encoder.head[2]):
        bound = 1 / math.sqrt(width)
        for p in (layer.weight, layer.bias):
            assert p.abs().max() <= bound
            assert p.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)
