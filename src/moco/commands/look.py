"""The images that a run is to learn from: opened, looked at once, and told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from moco import distributed
from moco.commands.captions import Heard, hear, refuse_pieces, say
from moco.commands.made_of import made_of
from moco.commands.tell import Teller
from moco.data.decide import Asked, Decided
from moco.data.left_out import FILE, left_out, tally
from moco.data.open import open_source
from moco.data.pieces import pieces
from moco.data.shard_store import Store
from moco.data.source import Source
from moco.data.survey import Survey, survey
from moco.machine import Machine
from moco.recipe import Recipe
from moco.run.atomic import write_text
from moco.run.directory import RunDirectory


@dataclass(frozen=True)
class Looked:
    """What there is, before anything is chosen by it."""

    whole: Source
    """All that was named."""
    source: Source
    """What is learnt from: the same, without the pairs that are held out where images have captions."""
    images: Source
    """An image for each page or tile that files have."""
    made: Decided
    """What they are made of."""
    facts: Survey
    heard: Heard | None
    """Their captions, where the recipe learns from any."""

    def keep(self, run: RunDirectory) -> None:
        """Write into the run which captions it learns from, and which files are no images of it."""
        heard = self.heard
        if heard is not None:
            distributed.on_main(lambda: heard.keep(run))
        if beside := left_out(self.source):
            distributed.on_main(lambda: write_text(run.path / FILE, beside.listed()))


def look(
    data: str | os.PathLike[str],
    run: RunDirectory,
    recipe: str | Recipe,
    changes: dict[str, Any],
    asked: Asked | None,
    machine: Machine,
    tell: Teller,
) -> Looked:
    """Open the images and say what they are; raises MocoError where they cannot be learnt from."""
    whole = source = open_source(data, Store(machine.cache_gib, machine.retry_seconds))
    if (heard := hear(data, whole, recipe, changes, run)) is not None:
        source = heard.learnt.source
        say(heard, tell)
    facts = distributed.on_main(lambda: survey(source))
    tell.note(f"{source.description}; half of them have a short side of {facts.short_side} px or less")
    made = distributed.on_main(lambda: made_of(run.path, recipe, source, facts, asked))
    images = distributed.on_each(lambda: pieces(source, made.pixels))
    if said := tally(source):
        tell.note(f"{said}; {run.path / FILE} lists them")
    for line in made.lines:
        tell.note(line)
    if images is not source:
        tell.note(images.description)
    if heard is not None:
        refuse_pieces(images, source)
    return Looked(whole, source, images, made, made.seen(facts, len(images)), heard)
