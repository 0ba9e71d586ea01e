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
from moco.data.loader import Loader, MemoryLoader, WorkerLoader
from moco.data.memory import load_memory
from moco.data.open import Labelled, open_labelled
from moco.data.part import Part
from moco.data.source import Source
from moco.data.survey import survey
from moco.device import place, seeded
from moco.embed import Prepared, embed
from moco.encoder import build_encoder
from moco.errors import MocoError
from moco.evaluate.few_labels import Features, few_labels
from moco.evaluate.knn import knn_accuracy
from moco.evaluate.linear import Judged, Linear, crop_views, linear
from moco.evaluate.result import Result
from moco.machine import Machine
from moco.ops import draw
from moco.recipe import Recipe
from moco.run.directory import RunDirectory, find_run
from moco.run.load import load
from moco.views import Views

PROTOCOLS = ("knn", "few-labels", "linear")
QUICK = ("knn", "few-labels")
"""What is judged by where no protocol is named: minutes, where linear classification takes hours on large data."""
ENCODERS = ("this encoder", "untrained", "pixels")
LABELS_PER_CLASS = (1, 5, 10, 20)
HELD_BACK = 0.2
"""Share of the labelled images that is judged, where they do not come split."""


def evaluate(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    protocols: Sequence[str] = QUICK,
    *,
    linear_settings: Linear | None = None,
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
    known, judged = _parts(open_labelled(data))
    encoders = _Encoders(run, machine)
    train, test = encoders.features(known), encoders.features(judged)
    results = []
    for protocol in protocols:
        match protocol:
            case "knn":
                result = _knn(train, test, len(known.classes), str(data), run.recipe())
            case "few-labels":
                result = _few_labels(train, test, len(known.classes), str(data), run.recipe())
            case _:
                result = _linear(encoders, known, train, test, str(data), linear_settings or Linear())
        result = dataclasses.replace(result, seconds=time.monotonic() - start)
        result.save(run)
        tell.results(result)
        results.append(result)
        start = time.monotonic()
    return results


class _Encoders:
    """The run's encoder and the same untrained, placed, with what makes images of one size for them."""

    def __init__(self, run: RunDirectory, machine: Machine) -> None:
        encoder, self.preprocess = load(run.path)
        self.machine, self.placement = machine, place(machine)
        self.modules = [self.placement.put(encoder), self.placement.put(_untrained(run.recipe()))]
        self.readable: dict[int, NDArray[np.int64]] = {}

    def features(self, side: Labelled) -> dict[str, Features]:
        """Features of the readable images, from each of ENCODERS."""
        images = Prepared(side.source, self.preprocess.centre, self.machine.decoders)
        made = [embed(m, images, self.preprocess.normalise, self.placement).numpy() for m in self.modules]
        self.readable[id(side)] = images.index
        labels = side.labels[images.index]
        return {name: Features(f, labels) for name, f in zip(ENCODERS, [*made, images.pixels()], strict=True)}


def _parts(labelled: Labelled) -> tuple[Labelled, Labelled]:
    """What to learn from, and what to judge: as the data come, or else a fifth held back."""
    if labelled.bank is not None:
        return labelled.bank, labelled
    order = draw.permutation(len(labelled.labels), 0, draw.stream("held back"))
    held = round(len(order) * HELD_BACK)
    return _some(labelled, order[held:]), _some(labelled, order[:held])


def _some(labelled: Labelled, rows: NDArray[np.int64]) -> Labelled:
    words = [labelled.classes[n] for n in labelled.labels[rows]]
    source = Part(labelled.source, rows, words, labelled.source.description)
    return Labelled(source, labelled.labels[rows], labelled.classes)


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


def _linear(
    encoders: _Encoders,
    known: Labelled,
    train: dict[str, Features],
    test: dict[str, Features],
    data: str,
    settings: Linear,
) -> Result:
    readable = _some(known, encoders.readable[id(known)])
    views = crop_views(encoders.preprocess, settings.seed)
    loader = _loader(readable.source, views, encoders.machine)
    rows: dict[str, list[tuple[float, float | None]]] = {}
    best: dict[str, list[float]] = {}
    for name, module in zip(ENCODERS, encoders.modules, strict=False):
        judged = Judged(torch.from_numpy(test[name].features).to(encoders.placement.device), test[name].labels)
        scores = linear(
            module, loader, views, readable.labels, judged, len(known.classes), settings, encoders.placement
        )
        rows[name] = [(score.last, None) for score in scores]
        best[name] = [score.best for score in scores]
    title = (
        f"linear classifier on frozen features, {settings.epochs} epochs of random crops of {len(readable.labels):,} "
        f"images, judged on {len(test[ENCODERS[0]].labels):,} after the last epoch"
    )
    columns = [f"rate {lr:g}" for lr in settings.lrs]
    return Result("linear", data, title, columns, rows, dataclasses.asdict(settings) | {"best_epoch": best}, 0.0)


def _loader(source: Source, views: Views, machine: Machine) -> Loader:
    """The images from memory where they are small and fit, else from workers."""
    memory = None
    if survey(source).fits_in_memory(machine.memory_gib):
        memory, _ = load_memory(source, machine.decoders)
    return MemoryLoader(memory) if memory is not None else WorkerLoader(source, views, machine.decoders)
