"""A run on images with captions: what is read, what is held out, and how often images and captions find each other."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from moco import distributed
from moco.commands.tell import Teller
from moco.data.groups import Groups
from moco.data.labelled import Labelled
from moco.data.names import number_of
from moco.data.seen import seen
from moco.data.source import Source
from moco.device import Placement
from moco.embed import Prepared, embed
from moco.encoder import Encoder
from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.recipe import Recipe, override
from moco.recipe.pixels import Pixels
from moco.recipe.text import Text, check_text
from moco.run.directory import WORDS, RunDirectory
from moco.run.text_file import TextEncoder
from moco.text.borrowed import Borrowed, borrow
from moco.text.captions import Captions, captioned, split
from moco.text.recall import each_once, recalls
from moco.text.told import Told, kept, opened
from moco.text.words import Words, learn_words
from moco.towers import TwoTowers


@dataclass(frozen=True)
class Heard:
    """The captions of a run."""

    learnt: Captions
    held: Captions
    told: Told

    def keep(self, run: RunDirectory) -> None:
        """Write the tokenizer down; raises MocoError where a run that goes on began with other captions."""
        record = kept(self.told.words) | {"captions": _identity(self)}
        before = run.read(WORDS) if run.checkpoint.exists() else {}
        if before and before.get("captions") != record["captions"]:
            raise MocoError(f"{run.path} began with other captions; put the table back, or name another --out")
        if before != record:
            run.write(WORDS, record)


def hear(
    data: str | os.PathLike[str], source: Source, recipe: object, changes: dict[str, Any], run: RunDirectory
) -> Heard | None:
    """The captions of the images, where the recipe learns from any; None for all others.

    Raises MocoError where there are none, or too few.
    """
    if not isinstance(recipe, Recipe) or recipe.text is None:
        return None
    asked = override(recipe, {name: v for name, v in changes.items() if name.startswith("text.") or name == "seed"})
    assert asked.text is not None
    check_text(asked.text)
    learnt, held = split(captioned(os.fspath(data), source), asked.text.held_out, asked.seed)
    before = run.read(WORDS) if run.checkpoint.exists() else {}
    words = opened(before) if before else _words(learnt.texts, asked.text)
    return Heard(learnt, held, Told.of(learnt.texts, words))


def _words(texts: list[str], text: Text) -> Words | Borrowed:
    """What reads the captions of a run that begins."""
    match text.tower:
        case None:
            return distributed.on_main(lambda: learn_words(texts, text))
        case name:
            return distributed.on_each(lambda: borrow(name, text.length))


def refuse_pieces(images: Source, source: Source) -> None:
    """Raise MocoError where images are pages or tiles of files, which have no caption of their own."""
    if images is not source:
        raise MocoError("image-text learns from whole images; leave out --pages and --tiles")


def say(heard: Heard, tell: Teller) -> None:
    """What was read, a line each."""
    for line in heard.learnt.lines:
        tell.note(line)
    held, cut = len(heard.held.texts), heard.told.cut
    kept_out = f"{number_of(held, 'pair')} {'is' if held == 1 else 'are'} held out"
    tell.note(f"{kept_out}, to measure how often images and captions find each other")
    if cut:
        longer, are = ("is longer", "is") if cut == 1 else ("are longer", "are")
        tell.note(
            f"{number_of(cut, 'caption')} {longer} than {heard.told.words.length - 2} words of the tokenizer and {are} "
            "cut; --text.length sets another"
        )


class PairWatch:
    """How often an image finds its caption among those held out, and a caption its image, among the first 1, 5, 10."""

    def __init__(
        self, heard: Heard, model: TwoTowers, pixels: Pixels | None, preprocess: Preprocess, placement: Placement
    ) -> None:
        self._model, self._preprocess, self._placement = model, preprocess, placement
        self._images = Prepared(seen(heard.held.source, pixels), preprocess.centre, together=True)
        self._texts, self._words = heard.held.texts, heard.told.words
        self._groups = torch.from_numpy(Groups.named(self._texts).of)

    def __call__(self, encoder: Encoder) -> dict[str, float]:
        """{"recall_1": ..., "recall_5", "recall_10", and the same of captions as "image_recall_1" ...}."""
        encoder.eval()
        images = embed(encoder, self._images, self._preprocess.normalise, self._placement)
        encoder.train()
        texts = TextEncoder(self._model.text_query_encoder, self._words)([self._texts[i] for i in self._images.index])
        groups = self._groups[torch.from_numpy(self._images.index)]
        once = each_once(groups)  # copies of a caption would fill the first places
        found = recalls(images, texts[once], groups, groups[once])
        back = recalls(texts, images, groups)
        return {f"recall_{k}": r for k, r in found.items()} | {f"image_recall_{k}": r for k, r in back.items()}


class ZeroShotWatch:
    """How often the name of its class is the text nearest to an image, none of which was ever learnt from."""

    def __init__(
        self,
        labelled: Labelled,
        heard: Heard,
        model: TwoTowers,
        pixels: Pixels | None,
        preprocess: Preprocess,
        placement: Placement,
        prompt: str,
    ) -> None:
        self._model, self._preprocess, self._placement = model, preprocess, placement
        self._images = Prepared(seen(labelled.source, pixels), preprocess.centre, together=True)
        self._labels = torch.from_numpy(labelled.labels)
        self._texts = [prompt.replace("{}", " ".join(name.replace("_", " ").split())) for name in labelled.classes]
        self._words = heard.told.words

    def __call__(self, encoder: Encoder) -> dict[str, float]:
        """{"zero_shot": share of images whose class is found}."""
        encoder.eval()
        images = embed(encoder, self._images, self._preprocess.normalise, self._placement)
        encoder.train()
        texts = F.normalize(TextEncoder(self._model.text_query_encoder, self._words)(self._texts), dim=1)
        named = (images.float() @ texts.T).argmax(dim=1)
        return {"zero_shot": float((named == self._labels[torch.from_numpy(self._images.index)]).float().mean())}


def refuse_prompt(prompt: str) -> None:
    """Raise MocoError for a sentence without a place for the name of a class."""
    if "{}" not in prompt:
        raise MocoError(f"--prompt {prompt!r}: write {{}} where the name of a class belongs: 'a photo of a {{}}'")


def texts_in(path: Path) -> list[str]:
    """The texts of a file, one a line; raises MocoError where there are none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise MocoError(f"--text {path}: the file cannot be read ({error.strerror})") from None
    texts = [" ".join(line.split()) for line in lines if line.strip()]
    if not texts:
        raise MocoError(f"--text {path}: the file has no texts; write one a line")
    return texts


def _identity(heard: Heard) -> str:
    digest = hashlib.sha256()
    for text in [*heard.learnt.texts, "\0", *heard.held.texts]:
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()
