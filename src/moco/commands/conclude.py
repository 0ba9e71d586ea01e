"""What a run that has ended gets: whether it paid, as far as that can be told without labels, and whitened features."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable

from moco import distributed
from moco.auto.sample import sample_in_memory
from moco.auto.verdict import WITHOUT_COLOUR, verdict
from moco.commands.start import Start
from moco.data.part import Part
from moco.data.source import sample
from moco.embed import Prepared, embed
from moco.encoder import Encoder
from moco.errors import MocoError
from moco.ops.whiten import whitening
from moco.preprocess import Preprocess
from moco.recipe import Recipe
from moco.run.encoder_file import add_whitening, read_encoder, read_whitening
from moco.scores.probe import Found, Probe

_FILE = "verdict.json"

MOST_WHITENED = 2048
"""Images of a run whose features say how to whiten them, at most."""

FEWEST_WHITENED = 1500
"""Images below which whitened features had worse neighbours than plain ones, in all sets tried (docs/auto.md)."""


def look_before(start: Start, recipe: Recipe, encoder: Encoder) -> None:
    """Keep what the probe finds in the encoder that a run begins with, for the verdict at its end."""

    def look() -> None:
        probe = _probe(start, recipe)
        found = _found(start, probe, encoder) | {WITHOUT_COLOUR: probe.without_colour(encoder)}
        start.run.write(_FILE, {"before": found})

    _tried(start, look)


def conclude(start: Start, recipe: Recipe) -> None:
    """Once a run: keep what whitens its features; look at the encoder again, tell the verdict and keep it."""
    _tried(start, lambda: _whiten(start, recipe), "no whitened features")
    kept = distributed.on_main(lambda: start.run.read(_FILE))
    if "before" not in kept or "sentence" in kept:
        return

    def look() -> None:
        probe = _probe(start, recipe)
        after = _found(start, probe, read_encoder(start.run.encoder)[0])
        said = verdict(kept["before"], after, probe.images, probe.pairs, shlex.quote(str(start.run.path)))
        start.run.write(_FILE, {"sentence": said, "before": kept["before"], "after": after})
        start.tell.note(said)

    _tried(start, look)


def about_whitened(images: int) -> str:
    """What the whitened features of a run on so many images are good for, in one sentence."""
    said = "features='whitened' makes every main axis count alike: "
    if images < FEWEST_WHITENED:
        return said + "of so few images most axes are noise, so prefer the plain ones"
    return said + "try both where neighbours matter"


def _whiten(start: Start, recipe: Recipe) -> None:
    file, source = start.run.encoder, start.source
    if not file.exists() or read_whitening(file) is not None:
        return
    some, preprocess = sample(source, MOST_WHITENED), Preprocess.of(recipe)
    images = Prepared(Part(source, some, [""] * len(some), "a sample"), preprocess.centre, start.machine.decoders)
    net = start.placement.put(read_encoder(file)[0].backbone)
    exact = dataclasses.replace(start.placement, bf16=False)  # small axes are blown up, and rounding with them
    add_whitening(file, whitening(embed(net, images, preprocess.normalise, exact)))


def _tried(start: Start, look: Callable[[], None], else_: str = "no verdict without labels") -> None:
    """On the main process; where no sample of the images can be read, that is said, and nothing else is lost."""
    try:
        distributed.main_alone(look)
    except MocoError as error:
        start.tell.note(f"{else_}: {error}")


def _probe(start: Start, recipe: Recipe) -> Probe:
    memory = start.memory or sample_in_memory(start.source, recipe.image_size, start.machine.decoders)
    return Probe(memory, recipe, start.placement)


def _found(start: Start, probe: Probe, encoder: Encoder) -> Found:
    start.placement.put(encoder)
    return probe(encoder)
