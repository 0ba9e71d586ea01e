"""What there is to say of a run that has ended: whether it paid, as far as that can be told without labels."""

from __future__ import annotations

import shlex

import torch

from moco import distributed
from moco.auto.sample import sample_in_memory
from moco.auto.verdict import verdict
from moco.commands.start import Start
from moco.device import seeded
from moco.errors import MocoError
from moco.model import Contrastive
from moco.recipe import Recipe
from moco.run.encoder_file import read_encoder
from moco.scores.probe import Probe


def conclude(start: Start, recipe: Recipe) -> None:
    """Compare the encoder with itself before training, tell the verdict and write verdict.json; once a run.

    Where no sample of the images can be read any more, that is said, and nothing else is lost.
    """
    if distributed.on_main(lambda: bool(start.run.read("verdict.json"))):
        return
    try:
        said = distributed.main_alone(lambda: _compared(start, recipe))
    except MocoError as error:
        said = f"no verdict: {error}"
    start.tell.note(said)


def _compared(start: Start, recipe: Recipe) -> str:
    memory = start.memory or sample_in_memory(start.source, recipe.image_size, start.machine.decoders)
    probe = Probe(memory, recipe, start.placement)
    with seeded(recipe.seed, torch.device("cpu")):
        fresh = Contrastive(recipe).query_encoder
    trained, _, _ = read_encoder(start.run.encoder)
    for module in (fresh, trained):
        start.placement.put(module)
    before, after = probe(fresh), probe(trained)
    said = verdict(before, after, shlex.quote(str(start.run.path)))
    start.run.write("verdict.json", {"sentence": said, "before": before, "after": after})
    return said
