"""ConvNeXts of any size, by the names of Hugging Face and of their authors; made by torchvision."""

from __future__ import annotations

import re
from functools import partial

from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from moco.foreign.architecture import Architecture
from moco.foreign.containers import Tensors
from moco.foreign.dialect import Dialect

_NAMES: dict[tuple[tuple[int, ...], int], str] = {
    ((3, 3, 9, 3), 96): "convnext_tiny",
    ((3, 3, 27, 3), 96): "convnext_small",
    ((3, 3, 27, 3), 128): "convnext_base",
    ((3, 3, 27, 3), 192): "convnext_large",
}


def make(widths: tuple[int, ...], blocks: tuple[int, ...], channels: int, eps: float) -> nn.Module:
    """torchvision's ConvNeXt without its last linear layer; `eps` is that of the last LayerNorm."""
    pairs = zip(widths, [*widths[1:], None], blocks, strict=True)
    net: nn.Module = ConvNeXt([CNBlockConfig(width, after, count) for width, after, count in pairs])
    net.set_submodule("classifier.2", nn.Identity())
    net.get_submodule("classifier.0").eps = eps  # type: ignore[assignment]
    if channels != 3:
        net.set_submodule("features.0.0", nn.Conv2d(channels, widths[0], 4, 4))
    return net


def read(tensors: Tensors, eps: float = 1e-6) -> Architecture | None:
    """The ConvNeXt that tensors by torchvision's names are of, if they can be of one."""
    blocks, widths = [0, 0, 0, 0], [0, 0, 0, 0]
    for name, tensor in tensors.items():
        if (match := re.match(r"features\.([1357])\.(\d+)\.block\.0\.weight$", name)) and tensor.ndim == 4:
            stage = int(match[1]) // 2
            blocks[stage], widths[stage] = max(blocks[stage], int(match[2]) + 1), int(tensor.shape[0])
    stem = tensors.get("features.0.0.weight")
    if stem is None or stem.ndim != 4 or min(blocks) == 0:
        return None
    found = (tuple(widths), tuple(blocks), int(stem.shape[1]), eps)
    doubled = [widths[0] << stage for stage in range(4)] == widths
    known = _NAMES.get((tuple(blocks), widths[0])) if doubled and eps == 1e-6 else None
    about = known or f"a ConvNeXt of {'-'.join(map(str, blocks))} blocks, {'-'.join(map(str, widths))} channels wide"
    return Architecture(about, partial(make, *found), known, "imagenet", found[2])


def _ours(tensors: Tensors, rules: list[tuple[str, str]]) -> Tensors:
    found: Tensors = {}
    for name, tensor in tensors.items():
        matches = ((re.fullmatch(pattern, name), new) for pattern, new in rules)
        ours = next((_filled(new, match) for match, new in matches if match), name)
        found[ours] = tensor[:, None, None] if ours.endswith("layer_scale") and tensor.ndim == 1 else tensor
    return found


def _filled(new: str, match: re.Match[str]) -> str:
    """`{0}` is the first group; `{0:block}` the place of that stage's blocks, `{0:down}` of what lies before it."""
    name = new
    for number, group in enumerate(match.groups()):
        name = name.replace(f"{{{number}}}", str(group))
        if group.isdigit():
            name = name.replace(f"{{{number}:block}}", str(2 * int(group) + 1))
            name = name.replace(f"{{{number}:down}}", str(2 * int(group)))
    return name


_BLOCK = "features.{0:block}.{1}"
_HUGGING_FACE = [
    (r"embeddings\.patch_embeddings\.(\w+)", "features.0.0.{0}"),
    (r"embeddings\.layernorm\.(\w+)", "features.0.1.{0}"),
    (r"encoder\.stages\.(\d)\.downsampling_layer\.(\d)\.(\w+)", "features.{0:down}.{1}.{2}"),
    (r"encoder\.stages\.(\d)\.layers\.(\d+)\.dwconv\.(\w+)", _BLOCK + ".block.0.{2}"),
    (r"encoder\.stages\.(\d)\.layers\.(\d+)\.layernorm\.(\w+)", _BLOCK + ".block.2.{2}"),
    (r"encoder\.stages\.(\d)\.layers\.(\d+)\.pwconv1\.(\w+)", _BLOCK + ".block.3.{2}"),
    (r"encoder\.stages\.(\d)\.layers\.(\d+)\.pwconv2\.(\w+)", _BLOCK + ".block.5.{2}"),
    (r"encoder\.stages\.(\d)\.layers\.(\d+)\.layer_scale_parameter", _BLOCK + ".layer_scale"),
    (r"layernorm\.(\w+)", "classifier.0.{0}"),
]
_AUTHORS = [
    (r"downsample_layers\.0\.(\d)\.(\w+)", "features.0.{0}.{1}"),
    (r"downsample_layers\.(\d)\.(\d)\.(\w+)", "features.{0:down}.{1}.{2}"),
    (r"stages\.(\d)\.(\d+)\.dwconv\.(\w+)", _BLOCK + ".block.0.{2}"),
    (r"stages\.(\d)\.(\d+)\.norm\.(\w+)", _BLOCK + ".block.2.{2}"),
    (r"stages\.(\d)\.(\d+)\.pwconv1\.(\w+)", _BLOCK + ".block.3.{2}"),
    (r"stages\.(\d)\.(\d+)\.pwconv2\.(\w+)", _BLOCK + ".block.5.{2}"),
    (r"stages\.(\d)\.(\d+)\.gamma", _BLOCK + ".layer_scale"),
    (r"norm\.(\w+)", "classifier.0.{0}"),
]

DIALECTS = [
    Dialect("torchvision", r"features\.1\.0\.block\.0\.weight", dict, read),
    Dialect(
        "Hugging Face",
        r"embeddings\.patch_embeddings\.weight",
        partial(_ours, rules=_HUGGING_FACE),
        partial(read, eps=1e-12),
    ),
    Dialect("its authors", r"downsample_layers\.0\.0\.weight", partial(_ours, rules=_AUTHORS), read),
]
