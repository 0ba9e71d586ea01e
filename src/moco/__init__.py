"""Momentum Contrast: an encoder from images without labels.

    import moco

    moco.pretrain("photos/", out="runs/photos")
    encoder, preprocess = moco.load("runs/photos")

The parts are public too (`moco.Queue`, `moco.info_nce`, `moco.views`, ...): docs/library.md has a page on each, and
says what public means. Names are resolved when they are first used, so that recipes and the command line's help need no
torch.
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
    from moco.device import place
    from moco.encoder import Encoder
    from moco.errors import MocoError
    from moco.machine import Machine
    from moco.parts.contrast import info_nce, momentum_update_, shuffled_keys
    from moco.parts.encoders import build_encoder, group_batch_norm
    from moco.parts.judged import knn, linear_probe
    from moco.parts.queue import Queue
    from moco.parts.scores import (
        alignment,
        effective_rank,
        lidar,
        retrieval_accuracy,
        rotation_accuracy,
        spread,
        uniformity,
    )
    from moco.parts.views import views
    from moco.recipe import (
        Bands,
        Blur,
        Jitter,
        Noise,
        Normalize,
        Recipe,
        View,
        cifar,
        end_to_end,
        memory_bank,
        simclr,
        v1,
        v2,
        v3,
        v3_vit,
    )
    from moco.run.load import load
    from moco.run.stop import Stopped
    from moco.transfer.predictor import load_transfer
    from moco.watching import Moment

    __version__: str

if sys.platform == "win32":
    raise ImportError("moco runs on Linux and macOS; on Windows, install it inside WSL (wsl --install)")

_NAMES = {
    "Bands": "moco.recipe",
    "Blur": "moco.recipe",
    "Encoder": "moco.encoder",
    "Jitter": "moco.recipe",
    "Machine": "moco.machine",
    "MocoError": "moco.errors",
    "Moment": "moco.watching",
    "Noise": "moco.recipe",
    "Normalize": "moco.recipe",
    "Queue": "moco.parts.queue",
    "Recipe": "moco.recipe",
    "Stopped": "moco.run.stop",
    "View": "moco.recipe",
    "alignment": "moco.parts.scores",
    "build_encoder": "moco.parts.encoders",
    "cifar": "moco.recipe",
    "effective_rank": "moco.parts.scores",
    "end_to_end": "moco.recipe",
    "evaluate": "moco.commands.evaluate",
    "export": "moco.commands.export",
    "group_batch_norm": "moco.parts.encoders",
    "info_nce": "moco.parts.contrast",
    "knn": "moco.parts.judged",
    "lidar": "moco.parts.scores",
    "linear_probe": "moco.parts.judged",
    "load": "moco.run.load",
    "load_transfer": "moco.transfer.predictor",
    "memory_bank": "moco.recipe",
    "momentum_update_": "moco.parts.contrast",
    "place": "moco.device",
    "pretrain": "moco.commands.pretrain",
    "report": "moco.commands.report",
    "retrieval_accuracy": "moco.parts.scores",
    "rotation_accuracy": "moco.parts.scores",
    "shuffled_keys": "moco.parts.contrast",
    "simclr": "moco.recipe",
    "spread": "moco.parts.scores",
    "uniformity": "moco.parts.scores",
    "v1": "moco.recipe",
    "v2": "moco.recipe",
    "v3": "moco.recipe",
    "v3_vit": "moco.recipe",
    "views": "moco.parts.views",
}

_DEPRECATED: dict[str, tuple[str, str]] = {}
"""Former public names: (the name to use instead, the version that no longer has the old one). docs/library.md."""

__all__ = [
    "Bands",
    "Blur",
    "Encoder",
    "Jitter",
    "Machine",
    "MocoError",
    "Moment",
    "Noise",
    "Normalize",
    "Queue",
    "Recipe",
    "Stopped",
    "View",
    "alignment",
    "build_encoder",
    "cifar",
    "effective_rank",
    "end_to_end",
    "evaluate",
    "export",
    "group_batch_norm",
    "info_nce",
    "knn",
    "lidar",
    "linear_probe",
    "load",
    "load_transfer",
    "memory_bank",
    "momentum_update_",
    "place",
    "pretrain",
    "report",
    "retrieval_accuracy",
    "rotation_accuracy",
    "shuffled_keys",
    "simclr",
    "spread",
    "uniformity",
    "v1",
    "v2",
    "v3",
    "v3_vit",
    "views",
]


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """What a public name stands for, loaded when it is first asked for."""
        if name == "__version__":
            return importlib.import_module("moco.version").VERSION
        if name in _DEPRECATED:
            import warnings

            new, until = _DEPRECATED[name]
            warnings.warn(f"moco.{name} is now moco.{new}, and gone in {until}", DeprecationWarning, stacklevel=2)
            return __getattr__(new)
        if name not in _NAMES:
            raise AttributeError(f"module 'moco' has no attribute {name!r}")
        return getattr(importlib.import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*_NAMES, "__version__"])
