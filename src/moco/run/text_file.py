"""text.pt: a trained text encoder with its tokenizer, beside the encoder of images that it was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from moco.device import seeded
from moco.errors import MocoError
from moco.recipe import Recipe, from_json, to_json
from moco.run.tensors import read_tensors, write_tensors
from moco.text.borrowed import Borrowed
from moco.text.told import kept, opened
from moco.text.words import Words
from moco.towers import Reader

FORMAT = "moco-text-encoder-1"
_AT_ONCE = 256


@dataclass(frozen=True)
class TextEncoder:
    """Texts to unit vectors, in the space of the images' unit vectors."""

    encoder: Reader
    words: Words | Borrowed

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """The unit vectors of N texts (N x C), on the CPU; without dropout, in the middle of a training too."""
        numbers, _ = self.words.encode(texts)
        device, trained = next(self.encoder.parameters()).device, self.encoder.training
        self.encoder.eval()
        vectors = torch.cat([self.encoder(some.to(device)).cpu() for some in torch.split(numbers, _AT_ONCE)])
        self.encoder.train(trained)
        return vectors


def save_text_encoder(path: Path, encoder: Reader, words: Words | Borrowed, recipe: Recipe, step: int) -> None:
    """Write the encoder of texts; readable with `torch.load(..., weights_only=True)`."""
    content = {"format": FORMAT, "recipe": to_json(recipe), "step": step, "encoder": encoder.state_dict()}
    write_tensors(path, content | kept(words))


def read_text_encoder(path: Path) -> TextEncoder:
    """The encoder of texts of a file, in eval mode; raises MocoError where there is none, or it is damaged."""
    if not path.exists():
        raise MocoError(f"{path.parent} has no encoder of texts; only runs of moco pretrain image-text have one")
    content = read_tensors(path)
    if content.get("format") != FORMAT:
        raise MocoError(f"{path} is not a text encoder written by this program; expected text.pt of a run")
    try:
        recipe = from_json(content["recipe"])
        assert recipe.text is not None
        with seeded(0, torch.device("cpu")):
            words = opened(content)
            encoder = Reader(recipe.text, recipe.encoder.dim, words)
        encoder.load_state_dict(content["encoder"])
        return TextEncoder(encoder.eval(), words)
    except (KeyError, TypeError, RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise MocoError(f"{path} is damaged: {reason}; continue the run to write it again") from None
