"""Momentum Contrast: an encoder from images without labels.

    import moco

    moco.pretrain("photos/", out="runs/photos")
    encoder, preprocess = moco.load("runs/photos")

Names are resolved when they are first used, so that recipes and the command line's help need no torch.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moco.commands.evaluate import evaluate
    from moco.commands.export import export
    from moco.commands.pretrain import pretrain
    from moco.commands.report import report
    from moco.errors import MocoError
    from moco.machine import Machine
    from moco.recipe import Recipe, cifar, end_to_end, memory_bank, simclr, v1, v2, v3, v3_vit
    from moco.run.load import load
    from moco.run.stop import Stopped
    from moco.transfer.predictor import load_transfer

if sys.platform == "win32":
    raise ImportError("moco runs on Linux and macOS; on Windows, install it inside WSL (wsl --install)")

_NAMES = {
    "Machine": "moco.machine",
    "MocoError": "moco.errors",
    "Recipe": "moco.recipe",
    "Stopped": "moco.run.stop",
    "cifar": "moco.recipe",
    "end_to_end": "moco.recipe",
    "evaluate": "moco.commands.evaluate",
    "export": "moco.commands.export",
    "load": "moco.run.load",
    "load_transfer": "moco.transfer.predictor",
    "memory_bank": "moco.recipe",
    "pretrain": "moco.commands.pretrain",
    "report": "moco.commands.report",
    "simclr": "moco.recipe",
    "v1": "moco.recipe",
    "v2": "moco.recipe",
    "v3": "moco.recipe",
    "v3_vit": "moco.recipe",
}

__all__ = [
    "Machine",
    "MocoError",
    "Recipe",
    "Stopped",
    "cifar",
    "end_to_end",
    "evaluate",
    "export",
    "load",
    "load_transfer",
    "memory_bank",
    "pretrain",
    "report",
    "simclr",
    "v1",
    "v2",
    "v3",
    "v3_vit",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("moco.version").VERSION
    if name not in _NAMES:
        raise AttributeError(f"module 'moco' has no attribute {name!r}")
    return getattr(importlib.import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*_NAMES, "__version__"])
