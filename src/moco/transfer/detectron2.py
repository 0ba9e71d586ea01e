"""The names that Detectron2 gives to the parameters of the same models."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_RULES = (
    (r"^proposals\.head\.conv\.0\.0\.", "proposal_generator.rpn_head.conv."),
    (r"^proposals\.head\.cls_logits\.", "proposal_generator.rpn_head.objectness_logits."),
    (r"^proposals\.head\.bbox_pred\.", "proposal_generator.rpn_head.anchor_deltas."),
    (r"^head\.res5\.", "roi_heads.res5."),
    (r"^head\.norm\.", "roi_heads.res5.norm."),
    (r"^head\.boxes\.", "roi_heads.box_predictor."),
    (r"^head\.(fc\d)\.", r"roi_heads.box_head.\1."),
    (r"^head\.masks\.(deconv|predictor)\.", r"roi_heads.mask_head.\1."),
    (r"^head\.points\.score_lowres\.", "roi_heads.keypoint_head.score_lowres."),
)
_BLOCK = (
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
)


def detectron2_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a C4 or pyramid model under Detectron2's names; the order of classes is the same in both."""
    pyramid = any(name.startswith("body.fpn.") for name in state)
    return {_renamed(name, "backbone.bottom_up" if pyramid else "backbone"): value for name, value in state.items()}


def _renamed(name: str, bottom: str) -> str:
    if name.startswith("body.stages."):
        return f"{bottom}.{stage_name(name.removeprefix('body.stages.'))}"
    if match := re.match(r"body\.fpn\.(inner|layer)_blocks\.(\d)\.(\d)\.(.*)", name):
        kind = {"inner": "lateral", "layer": "output"}[match[1]]
        norm = "norm." if match[3] == "1" else ""
        return f"backbone.fpn_{kind}{int(match[2]) + 2}.{norm}{match[4]}"
    if match := re.match(r"head\.(masks|points)\.convolutions\.(\d+)\.(.*)", name):
        word = {"masks": "mask_head.mask_fcn", "points": "keypoint_head.conv_fcn"}[match[1]]
        return f"roi_heads.{word}{int(match[2]) // 2 + 1}.{match[3]}"
    for pattern, new in _RULES:
        name = re.sub(pattern, new, name)
    for pattern, new in _BLOCK if ".res5." in name else ():
        name = re.sub(pattern, new, name)
    return name


def stage_name(name: str) -> str:
    """A name inside torchvision's ResNet as Detectron2 calls it: the stem, and stages res2 to res5."""
    if not name.startswith("layer"):
        return "stem." + re.sub(r"^bn1\.", "conv1.norm.", name)
    name = re.sub(r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}", name)
    for pattern, new in _BLOCK:
        name = re.sub(pattern, new, name)
    return name
