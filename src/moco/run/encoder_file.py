"""encoder.pt: a trained query encoder with the recipe it came from, which also says how images are prepared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from moco.device import seeded
from moco.encoder import Encoder, build_encoder
from moco.errors import MocoError
from moco.ops.whiten import Whitening
from moco.recipe import Recipe, channels_of, from_json, to_json
from moco.run.tensors import read_tensors, write_tensors

FORMAT = "moco-encoder-1"


def save_encoder(path: Path, encoder: Encoder, recipe: Recipe, step: int) -> None:
    """Write the encoder; readable with `torch.load(..., weights_only=True)`."""
    content = {"format": FORMAT, "recipe": to_json(recipe), "step": step, "encoder": encoder.state_dict()}
    write_tensors(path, content)


def add_whitening(path: Path, whitening: Whitening) -> None:
    """Keep with an encoder what whitens the features of its backbone."""
    write_tensors(path, read_tensors(path) | {"whitening": whitening.float().state_dict()})


def read_whitening(path: Path) -> Whitening | None:
    """What `add_whitening` kept; None where nothing was."""
    kept = read_tensors(path).get("whitening")
    return None if kept is None else Whitening(kept["mean"], kept["matrix"])


def read_encoder(path: Path) -> tuple[Encoder, Recipe, int]:
    """The encoder of a file, in eval mode and with ordinary BatchNorm, its recipe and the step it was saved at.

    Raises MocoError where the file is missing, damaged, or of another kind.
    """
    content = read_tensors(path)
    if content.get("format") != FORMAT:
        raise MocoError(f"{path} is not an encoder written by this program; expected encoder.pt of a run")
    try:
        recipe = from_json(content["recipe"])
        return _encoder(recipe, content["encoder"]), recipe, int(content["step"])
    except (KeyError, TypeError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise MocoError(
            f"{path} is damaged: {reason}; continue the run to write it again, or put back a copy"
        ) from None


def read_checkpoint(path: Path, recipe: Recipe) -> tuple[Encoder, int]:
    """The query encoder of a checkpoint of a run with this recipe, as above, and its step.

    Raises MocoError where the file is missing, damaged, or of another kind.
    """
    content = read_tensors(path)
    try:
        model = content["model"]
        prefix = _QUERY if any(k.startswith(_QUERY) for k in model) else f"images.{_QUERY}"  # of two towers
        inside = {k.removeprefix(prefix): v for k, v in model.items() if k.startswith(prefix)}
        return _encoder(recipe, inside), int(content["step"])
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise MocoError(f"{path} is not a checkpoint of the run it lies in: {reason}") from None


_QUERY = "query_encoder."


def _encoder(recipe: Recipe, state: dict[str, Any]) -> Encoder:
    with seeded(0, torch.device("cpu")):  # leave the caller's generator alone
        encoder, _ = build_encoder(replace(recipe.encoder, norm_group=None), channels_of(recipe.pixels))
    encoder.load_state_dict(state)
    return encoder.eval()
