"""encoder.pt: a trained query encoder with the recipe it came from, which also says how images are prepared."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from moco.encoder import Encoder, build_encoder
from moco.errors import MocoError
from moco.recipe import Recipe, from_json, to_json
from moco.run.atomic import write_atomically

FORMAT = "moco-encoder-1"


def save_encoder(path: Path, encoder: Encoder, recipe: Recipe, step: int) -> None:
    """Write the encoder; readable with `torch.load(weights_only=True)`."""
    content = {"format": FORMAT, "recipe": to_json(recipe), "step": step, "encoder": encoder.state_dict()}
    write_atomically(path, lambda file: torch.save(content, file))


def read_encoder(path: Path) -> tuple[Encoder, Recipe, int]:
    """The encoder of a file, in eval mode and with ordinary BatchNorm, its recipe and the step it was saved at."""
    content = read_tensors(path)
    if content.get("format") != FORMAT:
        raise MocoError(f"{path} is not an encoder written by this program; expected encoder.pt of a run")
    recipe = from_json(content["recipe"])
    encoder, _ = build_encoder(replace(recipe.encoder, norm_group=None))
    encoder.load_state_dict(content["encoder"])
    return encoder.eval(), recipe, int(content["step"])


def read_tensors(path: Path) -> dict[str, Any]:
    """A file of tensors and plain data, onto the CPU; raises MocoError where it is missing, broken or unsafe."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise MocoError(f"there is no file {path}") from None
    except (RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        raise MocoError(f"{path} is damaged or not a file of tensors: {str(error).splitlines()[0][:200]}") from None
    if not isinstance(content, dict):
        raise MocoError(f"{path} holds a {type(content).__name__}, not named tensors")
    return content
