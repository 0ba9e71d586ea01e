"""A file of weights, whatever wrote it, as the nested data it holds. One read, lazily where the format allows it.

The kind is read off the first bytes, not off the name: .pth.tar is no tar, and .bin may be anything.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moco.errors import MocoError
from moco.foreign.exported import told_inside
from moco.foreign.inert import InertPickle, Refused, Unpickler

_OLD_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first thing in files that torch wrote before version 1.6, behind two bytes."""

_NOT_WEIGHTS = {
    b"<": "is a web page, not weights; the download asked for a login or a confirmation: fetch it again",
    b"GGUF": "is a GGUF file, which holds quantised weights; give the file they were made from",
    b"\x89HDF": "is an HDF5 file (Keras); give weights of PyTorch, safetensors or NumPy",
    b"\x1f\x8b": "is compressed; unpack it first (gunzip, or tar xf)",
    b"BZh": "is compressed; unpack it first (bunzip2)",
    b"\xfd7zXZ": "is compressed; unpack it first (unxz)",
}
_FOLDER = (
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
"""What Hugging Face's libraries call the weights of a model, whole or in parts."""

_POINTER = b"version https://git-lfs"


def read_file(path: Path) -> Any:
    """The nested data of a file of weights: dicts, lists, tensors, arrays; objects of other kinds as `Inert`.

    .pth and its kin are mapped into memory, not read, where they are of torch 1.6 or later. Raises MocoError for a file
    that is missing, empty, damaged, no weights, or asks for code to be run.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except FileNotFoundError:
        raise MocoError(f"there is no file {path}") from None
    except OSError as error:
        raise MocoError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    _refuse_what_are_no_weights(path, start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about files that are none of its own
            return _read(path, start)
    except MocoError:
        raise
    except Refused as refusal:
        raise MocoError(f"{path} is not opened: {refusal}") from None
    except Exception as error:  # bytes that are no pickle fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0][:200]
        raise MocoError(f"{path} is damaged or not a file of weights: {reason}; fetch or copy it again") from None


def refuse_damage(path: Path) -> None:
    """Compare each part of a zip with the checksum (CRC-32) beside it, which torch writes but does not read.

    Raises ValueError at a difference and BadZipFile for what is no zip.
    """
    with zipfile.ZipFile(path) as file:
        if (damaged := file.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")


def _refuse_what_are_no_weights(path: Path, start: bytes) -> None:
    if not start:
        raise MocoError(f"{path} is empty (0 bytes); a download or copy was interrupted: fetch it again")
    if start.startswith(_POINTER):
        raise MocoError(
            f"{path} is a pointer of Git LFS, not the weights it stands for; in its repository, "
            f"git lfs pull --include {path.name} fetches them"
        )
    if path.suffix == ".distcp":
        raise MocoError(
            f"{path} is what one of several processes wrote; name its folder to be told how they are joined"
        )
    for magic, why in _NOT_WEIGHTS.items():
        if start.lstrip().startswith(magic):
            raise MocoError(f"{path} {why}")


def _read(path: Path, start: bytes) -> Any:
    if start.startswith(b"PK"):
        return _zip(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 30:
        return _safetensors(path)
    if start[2:].startswith(_OLD_TORCH):
        return torch.load(path, map_location="cpu", pickle_module=InertPickle, weights_only=False)
    if start.startswith(b"\x80"):
        with path.open("rb") as file:
            return Unpickler(file, encoding="latin1").load()
    if start.startswith(b"{") and (parts := _parts(path)):
        return _joined(path.parent, parts)
    if start.startswith(b"\x93NUMPY"):
        raise MocoError(f"{path} is one array, not named weights")
    raise MocoError(f"{path} is not a file of weights that is known (its first bytes are {start[:8]!r})")


def _zip(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise MocoError(f"{path} is cut off: its end is missing; fetch or copy it again")
    refuse_damage(path)
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    if all(name.endswith(".npy") for name in names):
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    if any(name.endswith("constants.pkl") for name in names):
        raise MocoError(f"{path} is a program (TorchScript or torch.export), not weights; save its state_dict()")
    if not any(name.endswith("data.pkl") for name in names):
        raise MocoError(f"{path} is a zip of other things ({', '.join(names[:3])}); unpack it, and name the weights")
    return torch.load(path, map_location="cpu", mmap=True, pickle_module=InertPickle, weights_only=False)


def _safetensors(path: Path) -> Any:
    try:
        from safetensors import safe_open
    except ImportError:
        raise MocoError(f"{path} needs safetensors: pip install 'momentum-contrast[timm]'") from None
    with safe_open(path, "pt") as file:
        whole = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return whole | told_inside(file.metadata())


def read_folder(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The data of a folder of one model's weights, and its settings: config.json with preprocessor_config.json.

    Hugging Face's folders, and those of its `accelerate`, which have no settings. Raises MocoError for a folder of
    anything else.
    """
    if (file := _weights_in(folder)) is None:
        raise MocoError(f"{folder} is a folder, neither a run nor a Hugging Face model{files_in(folder)}")
    return read_file(file), _json(folder / "config.json") | _json(folder / "preprocessor_config.json")


def holds_weights(folder: Path) -> bool:
    """Whether a folder is one model's, by the names that Hugging Face's libraries give to its files."""
    return _weights_in(folder) is not None


def _weights_in(folder: Path) -> Path | None:
    files = (folder / name for name in _FOLDER)
    return next((file for file in files if file.is_file()), None)


def _parts(index: Path) -> list[str]:
    """The files among which the tensors of a model are divided, by its index; none where a file is no index."""
    named = _json(index).get("weight_map")
    return sorted(set(named.values())) if isinstance(named, dict) else []


def _joined(folder: Path, parts: list[str]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in parts:
        whole |= read_file(folder / part)
    return whole


def read_place(place: Path) -> Any:
    """The data of a file of weights, or of a folder of one model's."""
    return read_folder(place)[0] if place.is_dir() else read_file(place)


def files_in(folder: Path) -> str:
    """For the end of a sentence: which files of weights a folder has, or how they are joined; else empty."""
    if (folder / ".metadata").is_file():
        made = f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} FILE"
        return f"; its parts were written by processes of their own: {made} joins them"
    kinds = (".bin", ".ckpt", ".pkl", ".pt", ".pth", ".safetensors", ".tar", ".torch")
    files = sorted(p.name for p in folder.iterdir() if p.suffix in kinds)
    return f"; it holds {', '.join(files[:4])}: name one of them" if files else ""


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MocoError(f"{path} is damaged ({error})") from None
    return content if isinstance(content, dict) else {}
