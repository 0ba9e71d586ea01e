"""model.pt: a fine-tuned model with all that is needed to use it: recipe, architecture, classes, normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from moco.backbones import build_backbone
from moco.device import seeded
from moco.errors import MocoError
from moco.recipe import Normalize, Pixels, channels_of, read_json, to_json
from moco.run.tensors import read_tensors, write_tensors
from moco.transfer.layouts.annotated import Part
from moco.transfer.recipe import Trial
from moco.transfer.tuning import Model, Tuning, build_model

FORMAT = "moco-transfer-1"


@dataclass(frozen=True)
class Architecture:
    """The ResNet inside, by which `build_backbone` makes it."""

    name: str
    stem: str


@dataclass(frozen=True)
class Fitted:
    """A fine-tuned model, ready to be used."""

    model: Model
    trial: Trial
    words: Part
    """The classes, points and skeleton; without images."""
    normalize: Normalize
    step: int
    pixels: Pixels | None = None
    """What its images are made of; None: photographs."""


def save_model(path: Path, t: Tuning, architecture: Architecture, part: Part) -> None:
    """Write the model of images as those of `part` are read; readable with `torch.load(..., weights_only=True)`."""
    write_tensors(
        path,
        {
            "format": FORMAT,
            "trial": to_json(t.trial),
            "step": t.step,
            "backbone": architecture.name,
            "stem": architecture.stem,
            "mean": list(t.normalize.mean),
            "std": list(t.normalize.std),
            "classes": list(part.classes),
            "points": list(part.points),
            "skeleton": [list(pair) for pair in part.skeleton],
            "pixels": None if (pixels := part.images[0].made_of) is None else to_json(pixels),
            "model": t.model.state_dict(),
        },
    )


def read_model(path: Path) -> Fitted:
    """The model of a file, in eval mode; raises MocoError where it is missing, damaged or of another kind."""
    content = read_tensors(path)
    if content.get("format") != FORMAT:
        raise MocoError(f"{path} is no fine-tuned model; expected model.pt of a run of moco transfer")
    try:
        return _built(content)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise MocoError(f"{path} is damaged: {reason}; continue the run to write it again") from None


def _built(content: dict[str, Any]) -> Fitted:
    trial = read_json(content["trial"], Trial)
    skeleton = tuple((int(a), int(b)) for a, b in content["skeleton"])
    words = Part((), tuple(content["classes"]), points=tuple(content["points"]), skeleton=skeleton)
    pixels = read_json(content["pixels"], Pixels) if content.get("pixels") else None  # older files have none
    with seeded(0, torch.device("cpu")):
        backbone, _ = build_backbone(content["backbone"], content["stem"], channels_of(pixels))
    model = build_model(trial.recipe, backbone, words, trial.seed)
    model.load_state_dict(content["model"])
    mean, std = (tuple(float(v) for v in content[part]) for part in ("mean", "std"))
    normalize = Normalize(mean=mean, std=std)
    return Fitted(model.eval(), trial, words, normalize, int(content["step"]), pixels)
