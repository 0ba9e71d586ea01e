"""What names and shapes do not tell of a backbone, and what lies beside it does: heads, paddings, strides."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from moco.errors import MocoError
from moco.foreign import transformers
from moco.foreign.containers import Contents, Tensors
from moco.foreign.exported import with_its_stride
from moco.foreign.prefixes import Found, below
from moco.foreign.resnets import PlannedResNet, read_plan
from moco.recipe.vit import VitName
from moco.vit import sines_and_cosines

_SMALL, _SMALL_HEADS = 384, 12
"""Width and heads of MoCo v3's ViT-S (facts: vits.py), where all other ViT-S have 6."""


def as_told(found: Found, held: Contents, shapes: Tensors) -> Found:
    """The backbone with what the rest of its file tells of it, and a note of what nothing tells."""
    found = _padded_like_solo_learn(with_its_stride(found, held, shapes), held, shapes)
    return _with_statistics(_with_heads(found, held, shapes), held)


def refuse_what_computes_otherwise(found: Found, held: Contents, path: Path) -> None:
    """Raise MocoError for a ResNet whose file says that it is not torchvision's, though its names and shapes are.

    Detectron2's models that began from Caffe2's have statistics of 0 and 1 - 1e-5 in every BatchNorm and the true ones
    in its scales; those, and OpenMMLab's of the style `caffe`, halve the image in another convolution of a block.
    """
    why = None
    if _untouched(found, held) not in (None, 1.0):
        why = "the statistics of its BatchNorm are folded into the scales, as in models that began from Caffe2's"
    elif any(isinstance(word, str) and re.search(r"style\s*=\s*['\"]caffe", word) for word in held.words.values()):
        why = "its configuration says style='caffe'"
    if why is not None and found.architecture.outline.state_dict().keys() >= {"conv1.weight", "bn1.running_mean"}:
        raise MocoError(
            f"{path}: {why}: those have their strides in the first convolution of a block and take BGR pixels up to "
            f"255, which is not made here; if this one does not, torchvision:NAME={path} opens it"
        )


def heads_of(net: nn.Module) -> set[int]:
    """How many heads each attention of a network has."""
    counts = (getattr(module, "num_heads", None) for module in net.modules())
    return {count for count in counts if isinstance(count, int)}


def _with_statistics(found: Found, held: Contents) -> Found:
    if _untouched(found, held) != 1.0:
        return found
    note = "its BatchNorm has seen no image (means of 0, variances of 1): untrained, or folded into its scales"
    return replace(found, notes=(*found.notes, note))


def _untouched(found: Found, held: Contents) -> float | None:
    """The one variance of all BatchNorms where all means are 0, as no training leaves them; None otherwise."""
    inside = below(held.tensors, found.prefix)
    means = (tensor for name, tensor in inside.items() if name.endswith("running_mean"))
    if any(bool(tensor.any()) for tensor in means):
        return None
    values = {value for name, tensor in inside.items() if name.endswith("running_var") for value in tensor.tolist()}
    return float(values.pop()) if len(values) == 1 else None


def _with_heads(found: Found, held: Contents, shapes: Tensors) -> Found:
    """Heads of attention have no shape: a configuration tells them, or MoCo v3's positions, or nothing does."""
    if found.dialect not in {dialect.name for dialect in transformers.DIALECTS}:
        return found
    if not heads_of(found.architecture.outline):
        return found
    inside = found.translate(below(shapes, found.prefix))
    heads, eps = held.words.get("config.num_attention_heads"), held.words.get("config.layer_norm_eps")
    if found.dialect == "Hugging Face" and isinstance(heads, int):
        usual = transformers.read_hugging_face(inside) if not isinstance(eps, float) else None
        read = transformers.read(inside, heads, eps) if isinstance(eps, float) else usual
        return replace(found, architecture=read or found.architecture)
    width, scaled = int(inside["norm.weight"].shape[0]), "blocks.0.ls1.gamma" in inside
    if width != _SMALL or scaled:
        return found
    of_v3 = found.prefix.endswith(("base_encoder.", "momentum_encoder."))
    of_v3 = of_v3 or _has_positions_of_v3(held.tensors.get(f"{found.prefix}pos_embed"), width)
    if of_v3 and found.architecture.channels == 3:  # those of 13 (SSL4EO-S12) have 6 again
        read, why = (
            transformers.read(inside, _SMALL_HEADS),
            "as MoCo v3's ViT-S has, whose names or positions these are",
        )
    else:
        read, why = None, "as all ViT-S but MoCo v3's and SLIP's have, which have 12"
    one = read or found.architecture
    (count,) = heads_of(one.outline)
    depth = 1 + max(int(name.split(".")[1]) for name in inside if name.startswith("blocks."))
    name = str(VitName(depth, width, int(inside["patch_embed.proj.weight"].shape[-1]), one.size, count))
    note = f"{count} heads are taken, {why}; shapes do not tell, {name.partition('h')[0]}hN=FILE does"
    return replace(found, architecture=one, notes=(*found.notes, note))


def _has_positions_of_v3(positions: Tensor | None, width: int) -> bool:
    if positions is None or positions.ndim != 3:
        return False
    grid = round((positions.shape[1] - 1) ** 0.5)
    wanted = sines_and_cosines(grid, width)
    return wanted.shape == positions.shape and torch.allclose(positions.float(), wanted, atol=1e-2)


def _padded_like_solo_learn(found: Found, held: Contents, shapes: Tensors) -> Found:
    """solo-learn pads the small first convolution by 2 where all others pad by 1; told by what lies beside it."""
    if found.architecture.stem != "small" or "export.architecture.stem.stride" in held.words:
        return found
    above = found.prefix.removesuffix("backbone.").removesuffix("encoder.")
    parts = {name[len(above) :].split(".")[0] for name in shapes if name.startswith(above)}
    lightning = any("lightning" in word and "version" in word for word in held.words)
    if not lightning or not {"projector", "classifier"} <= parts:
        return replace(
            found, notes=(*found.notes, "a stride of 1 is taken for its first convolution of 3x3, and no pooling")
        )
    plan = read_plan(found.translate(below(shapes, found.prefix)))
    assert plan is not None
    architecture = replace(
        found.architecture,
        about=f"{found.architecture.about} with solo-learn's padding of 2",
        make=partial(PlannedResNet, plan, 2),
        name=None,
    )
    return replace(found, architecture=architecture)
