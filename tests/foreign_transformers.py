"""Vision transformers in the layouts of other libraries, as `foreign_layouts` has ResNets; written from timm's."""

import argparse
import warnings

import pytest
import torch
from foreign_layouts import mlp, under


def vit(**options):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        more = {"patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 1, "num_classes": 0, "img_size": 32}
        net = pytest.importorskip("timm").models.vision_transformer.VisionTransformer(**more | options)
    for p in net.parameters():
        p.data.add_(0.02 * torch.randn_like(p))
    return net.eval()


def dino_full(w):
    student, teacher = under("module.backbone.", w), under("backbone.", {k: v + 1 for k, v in w.items()})
    return {
        "student": student | mlp("module.head.mlp"),
        "teacher": teacher,
        "args": argparse.Namespace(arch="vit_tiny"),
    }


def dinov2_training(w):
    """Both, in chunks of blocks, as FSDP saves them."""
    chunked = {k.replace("blocks.", "blocks.0."): v for k, v in w.items()} | {"mask_token": torch.zeros(1, 64)}
    teacher = under("teacher.backbone.", {k: v + 1 for k, v in chunked.items()})
    return {"model": under("student.backbone.", chunked) | teacher | mlp("student.dino_head.mlp"), "iteration": 9}


def mmpretrain(w):
    names = {}
    for k, v in w.items():
        k = k.replace("patch_embed.proj", "patch_embed.projection").replace("blocks.", "layers.")
        k = k.replace(".norm1.", ".ln1.").replace(".norm2.", ".ln2.").replace("mlp.fc1", "ffn.layers.0.0")
        k = k.replace("mlp.fc2", "ffn.layers.1")
        names["ln1" + k[4:] if k.startswith("norm.") else k] = v
    return {"meta": {}, "state_dict": under("backbone.", names) | mlp("neck")}


def mae_full(w):
    decoder = {"decoder_embed.weight": torch.zeros(32, 64), "decoder_pred.weight": torch.zeros(768, 32)}
    decoder |= {"mask_token": torch.zeros(1, 1, 32), "decoder_pos_embed": torch.zeros(1, 5, 32)}
    decoder |= under("decoder_", {k: v + 1 for k, v in w.items() if k.startswith(("blocks.", "norm."))})
    return {"model": w | decoder, "optimizer": {}, "epoch": 800, "args": argparse.Namespace(model="mae_vit_base")}


def ibot_full(w):
    content = dino_full(w)
    return content | {"student": content["student"] | {"module.backbone.masked_embed": torch.zeros(1, 64)}}


VITS = {
    "timm": dict,
    "DINO": lambda w: w | {"head.last_layer.weight": torch.zeros(3, 3)},
    "DINO, whole": dino_full,
    "DINOv2, in training": dinov2_training,
    "mmpretrain": mmpretrain,
    "MAE": lambda w: {"model": w | {"decoder_pos_embed": torch.zeros(1, 5, 8), "mask_token": torch.zeros(1, 1, 8)}},
    "MAE, whole": mae_full,
    "iBOT, whole": ibot_full,
}
