"""Recipes by name. Each is the one it builds on, with the difference spelt out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from moco.recipe.drawn import Blur, Normalize
from moco.recipe.parts import (
    KNN,
    LARS,
    SGD,
    AdamW,
    Bank,
    Batch,
    Cosine,
    Decay,
    Encoder,
    EndToEnd,
    InfoNCE,
    Momentum,
    Predictor,
    Queue,
    Recipe,
    Steps,
    Stored,
)
from moco.recipe.text import Text
from moco.recipe.views import CIFAR, CROPS, GENTLE, SIMCLR, V1, V2, V3_FIRST, V3_SECOND


def v1() -> Recipe:
    """MoCo v1 (arXiv:1911.05722) on ImageNet: linear head, temperature 0.07, steps at epochs 120 and 160."""
    return Recipe(
        name="v1",
        query_view=V1,
        encoder=Encoder(),
        keys=Momentum(),
        dictionary=Queue(),
        loss=InfoNCE(),
        optim=SGD(),
        schedule=Steps(),
        knn=KNN(temperature=0.07),
    )


def v2() -> Recipe:
    """MoCo v2 (arXiv:2003.04297): v1 with an MLP head, blur, temperature 0.2 and a cosine per epoch."""
    return replace(
        v1(),
        name="v2",
        query_view=V2,
        encoder=Encoder(head_layers=2),
        loss=InfoNCE(temperature=0.2),
        schedule=Cosine(),
    )


def ig_1b() -> Recipe:
    """v1 on Instagram-1B (section 4): 64 groups of 16, rate 0.12 times 0.9 each 62,500 steps, 1.25 million steps."""
    return replace(
        v1(),
        name="ig-1b",
        encoder=Encoder(norm_group=16),
        optim=SGD(lr=0.12),
        schedule=Decay(),
        epochs=None,
        steps=1_250_000,
        batch=1024,
    )


def cifar() -> Recipe:
    """The official CIFAR-10 demo: ResNet-18 with a small stem, K 4096, m 0.99, groups of 64, 200 epochs."""
    return Recipe(
        name="cifar",
        query_view=CIFAR,
        normalize=Normalize(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)),
        encoder=Encoder(backbone="resnet18", stem="small", norm_group=64),
        keys=Momentum(m=0.99),
        dictionary=Queue(size=4096),
        loss=InfoNCE(temperature=0.1),
        optim=SGD(lr=0.06, weight_decay=5e-4),
        schedule=Cosine(first_epoch=1),
        image_size=32,
        batch=512,
    )


def fast() -> Recipe:
    """`cifar` for minutes on a few cores, by what docs/auto.md measures of short runs.

    A ResNet-10 of half the width behind a 3x3 stem of stride 2, BatchNorm groups of 32, an MLP head (v2), four times as
    many steps of a quarter of the images, a quarter of the queue, gentler views, a rate that rises first.
    """
    return replace(
        cifar(),
        name="fast",
        query_view=GENTLE,
        normalize=Normalize(),
        encoder=Encoder(backbone="resnet10w32", stem="half", head_layers=2),
        dictionary=Queue(size=1024),
        optim=SGD(lr=0.03),
        schedule=Cosine(per="step", warmup_epochs=1.0),
        batch=128,
    )


def end_to_end() -> Recipe:
    """v1 with keys from the batch and gradients through both views (v1, figure 2a; K is the batch)."""
    return replace(v1(), name="end-to-end", keys=EndToEnd(), dictionary=Batch())


def memory_bank() -> Recipe:
    """v1 with one stored representation per image (v1, figure 2b; InstDisc, arXiv:1805.01978)."""
    return replace(v1(), name="memory-bank", keys=Stored(), dictionary=Bank())


def simclr() -> Recipe:
    """SimCLR (arXiv:2002.05709), the outside baseline of the v2 paper: NT-Xent, MLP head with BatchNorm, LARS."""
    return replace(
        v2(),
        name="simclr",
        query_view=SIMCLR,
        encoder=Encoder(head_layers=2, head_norm=True, norm_group=None),
        keys=EndToEnd(shuffle=False),
        dictionary=Batch(contrast="both-views"),
        loss=InfoNCE(temperature=0.1, symmetric=True, halves="mean"),
        optim=LARS(lr=0.3),
        schedule=Cosine(per="step", warmup_epochs=10.0),
    )


def v3() -> Recipe:
    """MoCo v3 (arXiv:2104.02057), ResNet-50, 100 epochs: a predictor, keys of the batch, both views ask, LARS."""
    return replace(
        v2(),
        name="v3",
        query_view=replace(V3_FIRST, scale=(0.2, 1.0)),
        key_view=replace(V3_SECOND, scale=(0.2, 1.0)),
        encoder=Encoder(dim=256, head_layers=2, head_width=4096, head_norm=True, head_end="plain", norm_group=None),
        predictor=Predictor(),
        keys=Momentum(m=0.99, to_one=True, shuffle=False),
        dictionary=Batch(),
        loss=InfoNCE(temperature=1.0, symmetric=True, scaled=True),
        optim=LARS(lr=9.6, weight_decay=1e-6, rate="outside"),
        schedule=Cosine(per="step", warmup_epochs=10.0),
        epochs=100,
        batch=4096,
        knn=KNN(features="backbone"),
    )


def v3_vit() -> Recipe:
    """MoCo v3 with its ViT-S/16, 300 epochs: fixed positions, a frozen projection of patches, AdamW."""
    return replace(
        v3(),
        name="v3-vit",
        query_view=V3_FIRST,
        key_view=V3_SECOND,
        encoder=replace(v3().encoder, backbone="vit12w384p16h12", head_layers=3, frozen_patches=True),
        predictor=Predictor(norm_last=True),
        loss=replace(v3().loss, temperature=0.2),
        optim=AdamW(lr=2.4e-3),
        schedule=Cosine(per="step", warmup_epochs=40.0),
        epochs=300,
    )


def v3_small() -> Recipe:
    """v3-vit for images of 32 px and one computer: 6 blocks, 192 wide, patches of 4 px, batch 256."""
    encoder = replace(v3_vit().encoder, backbone="vit6w192p4s32", head_width=512, dim=128)
    return replace(
        v3_vit(),
        name="v3-small",
        query_view=replace(V3_FIRST, blur=Blur(p=0.0)),
        key_view=replace(V3_SECOND, blur=Blur(p=0.0)),
        encoder=encoder,
        predictor=Predictor(width=512, norm_last=True),
        optim=AdamW(lr=1e-3),
        schedule=Cosine(per="step", warmup_epochs=5.0),
        image_size=32,
        epochs=100,
        batch=256,
    )


def image_text() -> Recipe:
    """Images and their captions: CLIP's pairs (arXiv:2103.00020) with momentum keys and a queue for each of both."""
    return replace(
        v2(),
        name="image-text",
        query_view=CROPS,
        text=Text(),
        encoder=Encoder(head_layers=1),
        loss=InfoNCE(temperature=0.07),
        optim=AdamW(lr=5e-4),
        schedule=Cosine(per="step"),
        knn=KNN(features="backbone"),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "v1": v1,
    "v2": v2,
    "ig-1b": ig_1b,
    "cifar": cifar,
    "fast": fast,
    "end-to-end": end_to_end,
    "memory-bank": memory_bank,
    "simclr": simclr,
    "v3": v3,
    "v3-vit": v3_vit,
    "v3-small": v3_small,
    "image-text": image_text,
}
