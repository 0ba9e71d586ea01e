"""`moco evaluate`: what was learnt, beside the same network untrained and the pixels themselves."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from moco.commands.tell import Silent, Teller
from moco.data.open import Labelled, open_labelled
from moco.device import place, seeded
from moco.embed import Prepared, embed
from moco.encoder import build_encoder
from moco.errors import MocoError
from moco.evaluate.few_labels import Features, few_labels
from moco.evaluate.knn import knn_accuracy
from moco.evaluate.result import Result
from moco.machine import Machine
from moco.ops import draw
from moco.recipe import Recipe
from moco.run.directory import RunDirectory, find_run
from moco.run.load import load

PROTOCOLS = ("knn", "few-labels")
ENCODERS = ("this encoder", "untrained", "pixels")
LABELS_PER_CLASS = (1, 5, 10, 20)
HELD_BACK = 0.2
"""Share of the labelled images that is judged, where they do not come split."""


def evaluate(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    protocols: Sequence[str] = PROTOCOLS,
    *,
    machine: Machine | None = None,
    tell: Teller | None = None,
) -> list[Result]:
    """Judge a run's encoder on labelled images; the results are told, and kept under `evaluations/`.

    `data` is a labelled folder (or zip, torchvision:NAME, demo) with `train` and `test` parts, or else a fifth of it is
    held back to judge on. Raises MocoError where `path` is no run or `data` has no classes.
    """
    for protocol in protocols:
        if protocol not in PROTOCOLS:
            raise MocoError(f"there is no protocol {protocol!r}; take {', '.join(PROTOCOLS)}")
    machine, tell, run = machine or Machine(), tell or Silent(), find_run(Path(path))
    start = time.monotonic()
    labelled = open_labelled(data)
    train, test = _features(run, labelled, machine)
    results = []
    for protocol in protocols:
        make = _knn if protocol == "knn" else _few_labels
        result = make(train, test, len(labelled.classes), str(data), run.recipe())
        result = dataclasses.replace(result, seconds=time.monotonic() - start)
        result.save(run)
        tell.results(result)
        results.append(result)
        start = time.monotonic()
    return results


def _features(
    run: RunDirectory, labelled: Labelled, machine: Machine
) -> tuple[dict[str, Features], dict[str, Features]]:
    """Features to learn from and to judge by, from each of ENCODERS."""
    encoder, preprocess = load(run.path)
    placement = place(machine)
    modules = [placement.put(encoder), placement.put(_untrained(run.recipe()))]

    def features(side: Labelled) -> dict[str, Features]:
        images = Prepared(side.source, preprocess.centre, machine.decoders)
        made = [embed(module, images, preprocess.normalise, placement).numpy() for module in modules]
        labels = side.labels[images.index]
        return {name: Features(f, labels) for name, f in zip(ENCODERS, [*made, images.pixels()], strict=True)}

    if labelled.bank is not None:
        return features(labelled.bank), features(labelled)
    whole = features(labelled)
    order = draw.permutation(len(whole[ENCODERS[0]].labels), 0, draw.stream("held back"))
    held = round(len(order) * HELD_BACK)
    return _rows(whole, order[held:]), _rows(whole, order[:held])


def _rows(features: dict[str, Features], rows: NDArray[np.int64]) -> dict[str, Features]:
    return {name: Features(f.features[rows], f.labels[rows]) for name, f in features.items()}


def _untrained(recipe: Recipe) -> torch.nn.Module:
    """The backbone as the run had it before its first step."""
    with seeded(recipe.seed, torch.device("cpu")):
        encoder, _ = build_encoder(replace(recipe.encoder, norm_group=None))
    return encoder.backbone


def _knn(train: dict[str, Features], test: dict[str, Features], classes: int, data: str, recipe: Recipe) -> Result:
    k, temperature = recipe.knn.k, recipe.knn.temperature
    rows: dict[str, list[tuple[float, float | None]]] = {}
    for name in ENCODERS:
        bank = (torch.from_numpy(train[name].features), train[name].labels)
        judged = torch.from_numpy(test[name].features)
        accuracy = knn_accuracy(judged, test[name].labels, classes, k=k, temperature=temperature, bank=bank)
        rows[name] = [(accuracy, None)]
    images = f"{len(train[ENCODERS[0]].labels):,} labelled images, judged on {len(test[ENCODERS[0]].labels):,}"
    title = f"k nearest neighbours (k {k}, temperature {temperature}) among {images}"
    return Result("knn", data, title, ["accuracy"], rows, {"k": k, "temperature": temperature}, 0.0)


def _few_labels(
    train: dict[str, Features], test: dict[str, Features], classes: int, data: str, recipe: Recipe
) -> Result:
    draws = 10
    fewest = int(np.bincount(train[ENCODERS[0]].labels, minlength=classes).min())
    counts = [n for n in LABELS_PER_CLASS if n <= fewest]
    if not counts or classes < 2:
        raise MocoError(
            f"{data}: few-labels needs at least two classes, and of each an image to learn from; the smallest class "
            f"has {fewest} (a fifth of the images is held back where there are no train and test parts)"
        )
    rows: dict[str, list[tuple[float, float | None]]] = {}
    for name in ENCODERS:
        scores = [few_labels(train[name], test[name], n, draws) for n in counts]
        rows[name] = [(score.mean, score.std) for score in scores]
    columns = [f"{n} per class" for n in counts]
    title = (
        f"linear classifier on few labels, mean of {draws} draws, judged on {len(test[ENCODERS[0]].labels):,} images"
    )
    return Result("few-labels", data, title, columns, rows, {"draws": draws}, 0.0)
