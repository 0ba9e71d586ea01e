"""Vision transformers, by the names of timm and DINO, DINOv2, Hugging Face and mmpretrain; made by timm."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import torch
from torch import nn

from moco.errors import MocoError
from moco.foreign.architecture import Architecture
from moco.foreign.containers import Tensors
from moco.foreign.dialect import Dialect, renamed
from moco.foreign.listed import in_timm
from moco.recipe.vit import VitName, usual_heads
from moco.vit import ViT

_NAMES = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge"}


_OTHER = {"attn_pool", "dist_token", "norm_pre", "rel_pos_bias", "rope"}
"""Parts of timm's other transformers: what is computed with them is not read off shapes."""


def make(options: tuple[tuple[str, Any], ...], eps: float, swiglu: bool) -> nn.Module:
    """timm's vision transformer by its own options; raises MocoError where timm is not installed."""
    try:
        from timm.layers import SwiGLUPacked
        from timm.models.vision_transformer import VisionTransformer
    except ImportError:
        raise MocoError("a vision transformer needs timm: pip install 'momentum-contrast[timm]'") from None
    more: dict[str, Any] = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU} if swiglu else {}
    made: nn.Module = VisionTransformer(
        **dict(options), **more, num_classes=0, dynamic_img_size=True, norm_layer=partial(nn.LayerNorm, eps=eps)
    )
    return made


def read(tensors: Tensors, heads: int | None = None, eps: float = 1e-6) -> Architecture | None:
    """The transformer that tensors by timm's names are of, if they can be of one."""
    patch, position = tensors.get("patch_embed.proj.weight"), tensors.get("pos_embed")
    hidden = tensors.get("blocks.0.mlp.fc1.weight")
    second, qkv = tensors.get("blocks.0.mlp.fc2.weight"), tensors.get("blocks.0.attn.qkv.weight")
    parts = (patch, position, hidden, second, qkv)
    if patch is None or position is None or hidden is None or second is None or qkv is None:
        return None
    if (
        any(p is None or p.ndim < 2 for p in parts)
        or patch.ndim != 4
        or _OTHER & {name.split(".")[0] for name in tensors}
    ):
        return None
    width, channels, side = int(patch.shape[0]), int(patch.shape[1]), int(patch.shape[-1])
    depth = 1 + max(int(m[1]) for name in tensors if (m := re.match(r"blocks\.(\d+)\.", name)))
    registers = int(tensors["reg_token"].shape[1]) if "reg_token" in tensors else 0
    tokens, classes = int(position.shape[1]), int("cls_token" in tensors)
    grid, alone = _grid(tokens, classes + registers)
    usual = usual_heads(width)
    heads = heads or usual
    if grid == 0 or heads == 0 or width % heads:
        return None
    swiglu = int(hidden.shape[0]) == 2 * int(second.shape[1])
    options: dict[str, Any] = {
        "img_size": grid * side,
        "patch_size": side,
        "in_chans": channels,
        "embed_dim": width,
        "depth": depth,
        "num_heads": heads,
        "mlp_ratio": int(hidden.shape[0]) / width,
        "qkv_bias": "blocks.0.attn.qkv.bias" in tensors,
        "qk_norm": "blocks.0.attn.q_norm.weight" in tensors,
        "init_values": 1.0 if "blocks.0.ls1.gamma" in tensors else None,
        "class_token": bool(classes),
        "no_embed_class": alone,
        "reg_tokens": registers,
        "global_pool": "avg" if "fc_norm.weight" in tensors or not classes else "token",
        "fc_norm": "fc_norm.weight" in tensors,
    }
    plain = not (registers or swiglu or alone or eps != 1e-6 or options["qk_norm"])
    plain = plain and heads == usual and options["global_pool"] == "token" and options["qkv_bias"]
    ours = VitName(depth, width, side, grid * side, heads) if _is_plain(options, eps, swiglu, alone) else None
    name = _name(width, depth, side, grid * side, options["mlp_ratio"], options["init_values"]) if plain else None
    about = f"a ViT of {depth} blocks, {width} wide, {heads} heads, patches of {side} px"
    if name is None and ours is not None:
        return Architecture(about, partial(ViT, ours, channels), str(ours), "imagenet", channels, ours.side)
    maker = partial(make, tuple(options.items()), eps, swiglu)
    return Architecture(name or about, maker, name, "imagenet", channels, grid * side)


def _is_plain(options: dict[str, Any], eps: float, swiglu: bool, alone: bool) -> bool:
    """Whether it is the ViT of `moco.vit`, which needs no timm."""
    wanted = {"mlp_ratio": 4, "qkv_bias": True, "qk_norm": False, "init_values": None, "reg_tokens": 0}
    usual = all(options[name] == value for name, value in wanted.items()) and options["global_pool"] == "token"
    return usual and options["embed_dim"] % 4 == 0 and eps == 1e-6 and not swiglu and not alone


def _name(width: int, depth: int, patch: int, size: int, ratio: float, scale: float | None) -> str | None:
    """What timm calls the usual ones."""
    if width not in _NAMES or depth != {1024: 24, 1280: 32}.get(width, 12) or ratio != 4:
        return None
    end = {(224, False): "224", (518, True): "dinov2"}.get((size, scale is not None))
    name = f"vit_{_NAMES[width]}_patch{patch}_{end}"
    return f"timm:{name}" if end and in_timm(name) else None


def _grid(tokens: int, special: int) -> tuple[int, bool]:
    """Patches to a side, and whether the position embedding leaves out the special tokens; 0 where no square fits."""
    for count, alone in ((tokens - special, False), (tokens, special > 0)):
        side = round(max(0, count) ** 0.5)
        if side and side * side == count:
            return side, alone
    return 0, False


def _timm(tensors: Tensors) -> Tensors:
    """timm's own names; DINOv2's, which are alike, and mostly alike in meaning."""
    named = renamed(
        (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # DINOv2 trains its blocks in chunks
        (r"\.mlp\.w12\.", ".mlp.fc1."),
        (r"\.mlp\.w3\.", ".mlp.fc2."),
        (r"^register_tokens$", "reg_token"),
    )(tensors)
    if "register_tokens" in tensors and {"cls_token", "pos_embed"} <= named.keys():
        # the position of the class token is added to it; registers have none
        named["cls_token"] = named["cls_token"] + named["pos_embed"][:, :1]
        named["pos_embed"] = named["pos_embed"][:, 1:]
    return named


_HUGGING_FACE_NAMES = renamed(
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.register_tokens$", "register_tokens"),
    (r"^embeddings\.mask_token$", "mask_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.fc1."),
    (r"\.mlp\.weights_out\.", ".mlp.fc2."),
)


def _hugging_face(tensors: Tensors) -> Tensors:
    """Query, key and value apart, as Hugging Face keeps them."""
    named = _HUGGING_FACE_NAMES(tensors)
    for name in [n for n in named if ".attn.query." in n]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in named for part in parts):
            joined = torch.cat([named.pop(part) for part in parts])
            named[name.replace(".query.", ".qkv.")] = joined
    return _timm(named)


_MMPRETRAIN = renamed(
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^layers\.(\d+)\.", r"blocks.\1."),
    (r"\.ln([12])\.", r".norm\1."),
    (r"^ln1\.", "norm."),
    (r"^norm1\.", "norm."),
    (r"^ln2\.", "fc_norm."),
    (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
    (r"\.attn\.gamma1\.weight$", ".ls1.gamma"),
    (r"\.ffn\.gamma2\.weight$", ".ls2.gamma"),
)


def read_hugging_face(tensors: Tensors) -> Architecture | None:
    """A ViT of Hugging Face, whose LayerNorm has another epsilon, or DINOv2, whose has not."""
    return read(tensors, eps=1e-6 if "blocks.0.ls1.gamma" in tensors else 1e-12)


DIALECTS = [
    Dialect("timm", r"blocks\.0\.(?:0\.)?attn\.qkv\.weight", _timm, read),
    Dialect("Hugging Face", r"embeddings\.patch_embeddings\.projection\.weight", _hugging_face, read_hugging_face),
    Dialect("mmpretrain", r"layers\.0\.attn\.qkv\.weight", _MMPRETRAIN, read),
]
