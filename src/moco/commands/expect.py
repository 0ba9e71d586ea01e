"""How long a run whose length is set will take here, said before its first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from moco.auto.budget import until, words
from moco.auto.plan import flops, grown
from moco.auto.rates import seconds_an_image, seconds_an_image_while_reading
from moco.auto.sample import sample_in_memory
from moco.auto.trial import Trial
from moco.commands.start import Start
from moco.data.source import Source
from moco.errors import MocoError
from moco.recipe import Queue, Recipe
from moco.recipe.auto import Network

EVIDENT = {"cpu": 6e12, "cuda": 6e15}
"""Products of a run that is over in about a minute anywhere, by the kind of device: nothing is measured for it."""

QUICK = 1e11
"""Products of a step, backwards too, that is tried with its whole batch: about a second on a CPU."""

READING = 5.0
"""Seconds for which steps whose images are read as they go are timed, at most."""

LONG = 86400.0
"""Seconds beyond which a run is said to be long, with what else could be done."""


def expect(start: Start, recipe: Recipe, steps: int) -> None:
    """Tell how long so many steps take, from a step or two on a few images; nothing for a run that is over in a minute.

    Nothing either where the images that were tried cannot be read: the run will say so.
    """
    kind = start.placement.device.type
    one = flops(Network(recipe.encoder.backbone, recipe.encoder.stem, recipe.image_size, 0))
    if 4 * one * recipe.batch * steps < EVIDENT.get(kind, EVIDENT["cuda"]):
        return
    try:
        seconds = steps * recipe.batch * _seconds_an_image(start, recipe) * grown(recipe)
    except MocoError:
        return
    start.tell.note(
        f"{steps:,} steps of {recipe.batch} images take about {words(seconds)} here, until {until(seconds)}"
    )
    if seconds > LONG:
        start.tell.note(
            "that is more than a day on this machine: without a recipe's name, --time 2h fits a run to two hours; "
            "a smaller --image-size, --encoder.backbone or fewer --epochs shorten this one"
        )


def _seconds_an_image(start: Start, recipe: Recipe) -> float:
    """Of a trial, with as few images a step as the BatchNorm groups allow where a step is slow."""
    memory = start.memory or sample_in_memory(start.source, recipe.image_size, start.machine.decoders)
    tried = _tried(recipe, len(memory), start.placement.device.type)
    trial = Trial(tried, memory, start.placement, start.machine, None)
    told = seconds_an_image(trial, start.unread, start.machine)
    reading: Callable[[Source], Trial] = lambda source: Trial(  # noqa: E731
        tried, memory, start.placement, start.machine, trial.fast, source=source
    )
    return seconds_an_image_while_reading(reading, start.unread, start.machine, told, READING)


def _tried(recipe: Recipe, images: int, device: str) -> Recipe:
    one = flops(Network(recipe.encoder.backbone, recipe.encoder.stem, recipe.image_size, 0))
    quick = device != "cpu" or 4 * one * recipe.batch < QUICK
    batch = recipe.batch if quick else min(recipe.batch, recipe.encoder.norm_group or 32)
    tried = replace(recipe, batch=batch, epochs=None, steps=1_000)
    if not isinstance(tried.dictionary, Queue):
        return tried
    keys = batch * (2 if tried.loss.symmetric else 1)
    return replace(tried, dictionary=replace(tried.dictionary, size=max(keys, images // 4)))
