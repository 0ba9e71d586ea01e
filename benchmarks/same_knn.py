"""Time to the same kNN: two or more recipes trained for the same time, looked at now and then, looks not counted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from measure import synchronise

from moco.commands.watch import KNNWatch
from moco.data.labelled import Labelled, alike
from moco.data.loader import Batch, MemoryLoader, Plan
from moco.data.memory import load_memory
from moco.data.open import open_labelled, open_source
from moco.device import Placement
from moco.preprocess import Preprocess
from moco.recipe import Recipe, override
from moco.training import Training, build_training, train_step


@dataclass(frozen=True)
class Look:
    """How good an encoder was after so many seconds of training."""

    step: int
    seconds: float
    knn: float


def learnt(recipe: Recipe, train: str, test: str, seconds: float, looks: int, placement: Placement) -> list[Look]:
    """A training whose schedule ends after about so many seconds; the first look is before it."""
    known, judged = alike(open_labelled(train), open_labelled(test))
    labelled = Labelled(judged.source, judged.labels, judged.classes, known)
    images = open_source(train)
    memory, _ = load_memory(images, 2)
    assert memory is not None
    loader = MemoryLoader(memory)
    steps = max(looks, round(seconds / _seconds_a_step(recipe, images, loader, placement)))
    recipe = override(recipe, {"epochs": None, "steps": steps})
    t = build_training(recipe, len(images), placement)
    watch = KNNWatch(labelled, recipe, Preprocess.of(recipe), placement, 0)
    found, spent = [Look(0, 0.0, watch(t.model.query_encoder)["knn"])], 0.0
    at = set(np.linspace(0, steps, looks + 1).round().astype(int)[1:].tolist())
    began = time.perf_counter()
    for batch in loader.batches(Plan.of(recipe, images), 0):
        train_step(t, batch)
        if t.step in at:
            synchronise()
            spent += time.perf_counter() - began
            found.append(Look(t.step, round(spent, 2), watch(t.model.query_encoder)["knn"]))
            began = time.perf_counter()
    return found


def reached(looks: Sequence[Look], knn: float) -> float | None:
    """Seconds until a kNN was there for the first time, on the line between two looks; None where it never was."""
    if looks[0].knn >= knn:
        return looks[0].seconds
    for before, after in pairwise(looks):
        if after.knn >= knn:
            share = (knn - before.knn) / (after.knn - before.knn)
            return round(before.seconds + share * (after.seconds - before.seconds), 2)
    return None


def _seconds_a_step(recipe: Recipe, images: object, loader: MemoryLoader, placement: Placement) -> float:
    """The median of a few steps of a training that is thrown away."""
    t: Training = build_training(recipe, len(images), placement)
    batches, took = iter(loader.batches(Plan.of(recipe, images), 0)), []
    for _ in range(12):
        batch: Batch = next(batches)
        began = time.perf_counter()
        train_step(t, batch)
        synchronise()
        took.append(time.perf_counter() - began)
    return float(np.median(took[2:]))
