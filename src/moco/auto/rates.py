"""How long a step takes here."""

from __future__ import annotations

import time
from collections.abc import Callable

from moco import distributed
from moco.auto.trial import Trial
from moco.data.loader import READY, Plan, WorkerLoader
from moco.data.source import Source
from moco.machine import Machine
from moco.recipe import Recipe
from moco.two_views import Views

WARM = 5
"""Steps before the clock starts, where they are quick: the first ones make room for tensors."""

PATIENCE = 2.5
"""Seconds that are timed, at most."""


def seconds_a_step(trial: Trial, patience: float = PATIENCE) -> float:
    """Of a trial that is carried on for about so many seconds: the mean of its steps, the slowest process's.

    Not the median: where images differ in size so do steps, and a run has the slow ones too. A step that takes longer
    than that is timed once, after one that makes room for tensors.
    """
    trial.go(trial.step + 1)
    (microseconds,) = distributed.largest([round(1e6 * trial.go(trial.step + 1))])
    second = microseconds / 1e6
    if second > patience:
        return second
    if second < patience / WARM:
        trial.go(trial.step + WARM - 1)
    return _mean(trial, trial.go(trial.step + 1), patience, 1)


def _mean(trial: Trial, step: float, patience: float, least: int) -> float:
    """Seconds a step, of as many as a step of so many seconds leaves in `patience`, but 100; the slowest process's."""
    (steps,) = distributed.largest([min(100, max(least, round(patience / step)))])
    (microseconds,) = distributed.largest([round(1e6 * trial.go(trial.step + steps) / steps)])
    return max(1, microseconds) / 1e6


def seconds_an_image(trial: Trial, source: Source | None, machine: Machine, patience: float = PATIENCE) -> float:
    """What a training takes for one image, with reading it from `source`; None: images are in memory."""
    step = seconds_a_step(trial, patience) / trial.recipe.batch
    if source is None:
        return step
    cut = seconds_to_cut(source, trial.recipe)
    if trial.placement.device.type == "cpu":  # steps and decoding share the processors
        return step + cut / max(1, trial.placement.threads)
    return max(step, cut / max(1, machine.decoders))


def seconds_an_image_while_reading(
    begin: Callable[[Source], Trial], source: Source | None, machine: Machine, told: float, patience: float
) -> float:
    """The same where `source` is read and cut by processes as the run goes, of a trial that `begin` makes of it.

    Reading and computing are in each other's way, by more than their sum on processors that they share. `told`, what
    is known without a measurement, where there is nothing to read or where measuring takes longer than `patience`.
    """
    if source is None:
        return told
    trial = begin(source)
    waiting = READY * machine.decoders
    (long,) = distributed.largest([int(told * trial.recipe.batch * (2 * waiting + 3) > patience)])
    if long:
        return told
    try:
        return seconds_an_image_read(trial, waiting, min(PATIENCE, patience / 2))
    finally:
        trial.close()


def seconds_an_image_read(trial: Trial, waiting: int, patience: float = PATIENCE) -> float:
    """Of a trial that reads its images as it goes, `waiting` batches of them ahead."""
    trial.go(trial.step + waiting + 1)
    return _mean(trial, trial.go(trial.step + 2) / 2, patience, max(1, waiting)) / trial.recipe.batch


def seconds_to_cut(source: Source, recipe: Recipe, images: int = 32) -> float:
    """For one image, the seconds that one process takes to read it and cut its crops."""
    plan = Plan(len(source), min(images, len(source)), None, recipe.seed, 1)
    start = time.perf_counter()
    for batch in WorkerLoader(source, Views(recipe, small=True), 0).batches(plan, 0):
        return (time.perf_counter() - start) / len(batch.index)
    raise AssertionError("a plan of one step has a batch")
