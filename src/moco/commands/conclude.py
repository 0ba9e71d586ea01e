"""What there is to say of a run that has ended: whether it paid, as far as that can be told without labels."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from moco import distributed
from moco.auto.sample import sample_in_memory
from moco.auto.verdict import verdict
from moco.commands.start import Start
from moco.encoder import Encoder
from moco.errors import MocoError
from moco.recipe import Recipe
from moco.run.encoder_file import read_encoder
from moco.scores.probe import Found, Probe

_FILE = "verdict.json"


def look_before(start: Start, recipe: Recipe, encoder: Encoder) -> None:
    """Keep what the probe finds in the encoder that a run begins with, for the verdict at its end."""
    _tried(start, lambda: start.run.write(_FILE, {"before": _probed(start, recipe, encoder)}))


def conclude(start: Start, recipe: Recipe) -> None:
    """Look at the encoder again, tell the verdict and keep it; once a run. Nothing for a run that was not looked at."""
    kept = distributed.on_main(lambda: start.run.read(_FILE))
    if "before" not in kept or "sentence" in kept:
        return

    def look() -> None:
        after = _probed(start, recipe, read_encoder(start.run.encoder)[0])
        said = verdict(kept["before"], after, shlex.quote(str(start.run.path)))
        start.run.write(_FILE, {"sentence": said, "before": kept["before"], "after": after})
        start.tell.note(said)

    _tried(start, look)


def _tried(start: Start, look: Callable[[], None]) -> None:
    """On the main process; where no sample of the images can be read, that is said, and nothing else is lost."""
    try:
        distributed.main_alone(look)
    except MocoError as error:
        start.tell.note(f"no verdict without labels: {error}")


def _probed(start: Start, recipe: Recipe, encoder: Encoder) -> Found:
    memory = start.memory or sample_in_memory(start.source, recipe.image_size, start.machine.decoders)
    start.placement.put(encoder)
    return Probe(memory, recipe, start.placement)(encoder)
