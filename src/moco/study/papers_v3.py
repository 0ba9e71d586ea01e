"""The ablations of MoCo v3 (arXiv:2104.02057), each a function that returns data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from moco.recipe import AdamW, Batch, Momentum, Predictor, Recipe, v3_small
from moco.recipe.vit import vit_name
from moco.study.parts import Cell, Fit, Study

_SOURCE = "MoCo v3, section 4 and its tables: linear top-1 on ImageNet, ViT-B/16, 300 epochs, %"


def momentum_v3(fit: Fit, images: int) -> Study:
    """Section 5 of v3: the momentum m of the key encoder, with keys of the batch."""
    base = fit({})
    paper = {0.0: 74.3, 0.9: 75.6, 0.99: 76.5, 0.999: 75.0}
    cells = tuple(
        Cell(f"m {m:g}", _of_v3(base) | {"keys": Momentum(m=m, shuffle=False)}, f"{m:g}", "v3", {"knn": value})
        for m, value in paper.items()
    )
    return Study("v3-momentum", "The momentum of the key encoder, without a queue", cells, "m", _SOURCE, tells=0.4)


def predictor(fit: Fit, images: int) -> Study:
    """Section 5 of v3: with and without the predictor."""
    base = fit({})
    of_v3 = _of_v3(base)
    with_it = base.predictor or of_v3["predictor"]
    cells = (
        Cell("predictor", of_v3 | {"predictor": with_it}, "with", "v3", {"knn": 76.5}),
        Cell("no predictor", of_v3 | {"predictor": None}, "without", "v3", {"knn": 75.5}),
    )
    return Study("v3-predictor", "With and without the predictor", cells, "predictor", _SOURCE)


def patches(fit: Fit, images: int) -> Study:
    """Section 4.2 of v3: the projection of patches as it was drawn, and learnt."""
    base = fit({})
    of_v3 = _of_v3(base) | ({} if vit_name(base.encoder.backbone) else _vit(base))
    cells = (
        Cell("frozen", of_v3 | {"encoder.frozen_patches": True}, "frozen", "v3", {"knn": 1.7}),
        Cell("learnt", of_v3 | {"encoder.frozen_patches": False}, "learnt", "v3", {"knn": 0.0}),
    )
    source = "MoCo v3, section 4.2: points of linear top-1 on ImageNet above the learnt projection, at rate 1.5e-4"
    return Study("v3-patches", "The projection of patches, frozen and learnt", cells, "projection of patches", source)


def _of_v3(base: Recipe) -> dict[str, Any]:
    """What turns another recipe into v3's mechanism; nothing, where it has it."""
    if base.predictor is not None:
        return {}
    width = v3_small().encoder.head_width or 512
    return {
        "predictor": Predictor(width=width, norm_last=True),
        "keys": Momentum(m=0.99, to_one=True, shuffle=False),
        "dictionary": Batch(),
        "loss": v3_small().loss,
        "encoder.head_layers": 3,
        "encoder.head_width": width,
        "encoder.head_norm": True,
        "encoder.head_end": "plain",
        "encoder.norm_group": None,
    }


def _vit(base: Recipe) -> dict[str, Any]:
    """A small ViT with 8 x 8 patches for images of the base recipe, and its solver."""
    vit = vit_name(v3_small().encoder.backbone)
    assert vit is not None
    side = base.image_size
    patch = next(p for p in range(max(1, side // 8), 0, -1) if side % p == 0)
    name = str(replace(vit, patch=patch, side=side))
    return {"encoder.backbone": name, "encoder.stem": "imagenet", "optim": AdamW(lr=1e-3)}
