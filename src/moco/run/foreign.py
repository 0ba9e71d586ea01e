"""Encoders in files of other libraries: which tensors are the encoder's, and under which names.

A loader that renames by one fixed prefix silently drops every tensor of a file with another one. So the prefix is
found in the file, everything but heads must find its place, and nothing may be missing.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from moco.errors import MocoError
from moco.run.tensors import read_tensors

Tensors = dict[str, Tensor]

_CONTAINERS = ("state_dict", "model", "model_state_dict", "teacher", "encoder")
_QUERY = ("encoder_q.", "base_encoder.", "encoder.", "backbone.", "trunk._feature_blocks.", "")
"""The encoder to take where a file holds several, such as a query and a key encoder: the first of these."""
_HEADS = ("fc", "head", "classifier", "heads", "predictor", "projector", "head_drop", "fc_norm")


def read_foreign(path: Path) -> tuple[Tensors, str | None]:
    """The named tensors of a file (.pth, .pth.tar, .pkl of detectron2, .safetensors), and `arch` where it says one.

    Reads without running code from the file. Raises MocoError where it is missing, unsafe or holds no tensors.
    """
    if path.suffix == ".safetensors":
        return _safetensors(path), None
    content = _pickled_arrays(path) if path.suffix == ".pkl" else read_tensors(path)
    arch = content.get("arch")
    for name in _CONTAINERS:
        if isinstance(content.get(name), dict):
            content = content[name]
            break
    tensors = {
        str(k): torch.from_numpy(v) if isinstance(v, np.ndarray) else v
        for k, v in content.items()
        if isinstance(v, Tensor | np.ndarray)
    }
    if not tensors:
        raise MocoError(f"{path} holds no named tensors; it has {', '.join(map(str, list(content)[:8]))}")
    return _detectron_names_undone(tensors), arch if isinstance(arch, str) else None


def find_prefix(tensors: Tensors, landmark: str, path: Path) -> str:
    """What stands before the names of the encoder; `landmark` is a tensor it must have. Raises MocoError where none."""
    found = sorted({name[: -len(landmark)] for name in tensors if name == landmark or name.endswith(f".{landmark}")})
    if not found:
        shown = ", ".join(list(tensors)[:4])
        raise MocoError(
            f"{path} has no tensor called ...{landmark}: it is no encoder of this architecture; it holds {shown}, ..."
        )
    if len(found) == 1:
        return found[0]
    for known in _QUERY:
        plain = [p for p in found if p.removeprefix("module.") == known]
        if len(plain) == 1:
            return plain[0]
    raise MocoError(f"{path} holds several encoders ({', '.join(found)}) and none is known to be the query encoder")


def resnet_name(tensors: Tensors, prefix: str, path: Path) -> tuple[str, str]:
    """The backbone (`resnet50`, `resnet50w128`) and the stem of ResNet tensors, read off their shapes."""
    blocks = [0, 0, 0, 0]
    for name in tensors:
        if match := re.match(rf"{re.escape(prefix)}layer([1-4])\.(\d+)\.", name):
            stage, block = int(match[1]) - 1, int(match[2])
            blocks[stage] = max(blocks[stage], block + 1)
    bottleneck = f"{prefix}layer1.0.conv3.weight" in tensors
    depths: dict[tuple[bool, tuple[int, ...]], int] = {
        (False, (1, 1, 1, 1)): 10,
        (False, (2, 2, 2, 2)): 18,
        (False, (3, 4, 6, 3)): 34,
        (True, (3, 4, 6, 3)): 50,
        (True, (3, 4, 23, 3)): 101,
        (True, (3, 8, 36, 3)): 152,
    }
    depth, stem = depths.get((bottleneck, tuple(blocks))), tensors.get(f"{prefix}conv1.weight")
    if depth is None or stem is None:
        raise MocoError(f"{path}: no known ResNet has stages of {blocks} blocks; give it as torchvision:NAME={path}")
    width, kernel = int(stem.shape[0]), int(stem.shape[-1])
    inner = tensors[f"{prefix}layer1.0.conv1.weight"].shape[0]
    if inner != width or (bottleneck and tensors[f"{prefix}layer1.0.conv2.weight"].shape[1] != inner):
        raise MocoError(
            f"{path}: a ResNet of other proportions; give it as torchvision:NAME={path} or timm:NAME={path}"
        )
    plain = width == 64 and depth != 10
    return (f"resnet{depth}" if plain else f"resnet{depth}w{width}"), "small" if kernel == 3 else "imagenet"


def fill_(net: nn.Module, tensors: Tensors, prefix: str, path: Path) -> None:
    """Load the tensors below `prefix` into `net`; heads are left out.

    Raises MocoError where any other tensor has no place, one is missing, or one has another shape.
    """
    inside = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)} if prefix else dict(tensors)
    wanted = net.state_dict()
    missing = [k for k in wanted if k not in inside and not k.endswith("num_batches_tracked")]
    extra = [k for k in inside if k not in wanted and k.split(".")[0] not in _HEADS and "num_batches" not in k]
    if not prefix:
        extra = [k for k in extra if k.split(".")[0] not in ("queue", "queue_ptr")]
    if missing or extra:
        lines = [f"{len(missing)} tensors are missing ({', '.join(missing[:3])})"] if missing else []
        lines += [f"{len(extra)} have no place ({', '.join(extra[:3])})"] if extra else []
        raise MocoError(f"{path} does not fit this architecture: {'; '.join(lines)}; name another one")
    wrong = [k for k in wanted if k in inside and inside[k].shape != wanted[k].shape]
    if wrong:
        k = wrong[0]
        raise MocoError(
            f"{path} does not fit this architecture: {k} is {tuple(inside[k].shape)} in the file and "
            f"{tuple(wanted[k].shape)} here ({len(wrong)} such tensors)"
        )
    net.load_state_dict({k: inside.get(k, v) for k, v in wanted.items()})


def _safetensors(path: Path) -> Tensors:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise MocoError(f"{path} needs safetensors: pip install 'momentum-contrast[timm]'") from None
    try:
        loaded: Tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise MocoError(f"{path} is missing or damaged: {error}") from None
    return loaded


class _ArraysOnly(pickle.Unpickler):
    """Unpickles plain data and NumPy arrays, and refuses everything else a pickle could call."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"):
            return super().find_class(module, name)
        if (module, name) == ("collections", "OrderedDict"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array")


def _pickled_arrays(path: Path) -> dict[str, Any]:
    """detectron2's form: {"model": arrays by name, ...}."""
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="latin1").load()
    except FileNotFoundError:
        raise MocoError(f"there is no file {path}") from None
    except Exception as error:  # a damaged pickle may raise anything
        raise MocoError(f"{path} is damaged or not a pickle of arrays: {str(error)[:200]}") from None
    if not isinstance(content, dict):
        raise MocoError(f"{path} holds a {type(content).__name__}, not named arrays")
    return content


def _detectron_names_undone(tensors: Tensors) -> Tensors:
    """detectron2's names of a ResNet as torchvision's: stem, res2 to res5, norm and shortcut."""
    if not any(name.startswith("res2.") for name in tensors):
        return tensors
    found: Tensors = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("stem.")
        name = re.sub(r"^res([2-5])\.", lambda m: f"layer{int(m[1]) - 1}.", name)
        name = re.sub(r"conv([1-3])\.norm\.", r"bn\1.", name)
        name = name.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
        found[name] = tensor
    return found
