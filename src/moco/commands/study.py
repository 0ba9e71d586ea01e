"""`moco study`: the cells of an ablation of the papers, trained side by side and drawn beside the paper's values."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from moco.commands.choose import choose_recipe
from moco.commands.pretrain import pretrain
from moco.commands.tell import Silent, Teller
from moco.data.open import open_labelled, open_source
from moco.data.survey import survey
from moco.device import place
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import Recipe, check, from_json, override, to_json
from moco.run.atomic import write_atomically, write_text
from moco.run.directory import InUse
from moco.run.log import read_log
from moco.study.papers import STUDIES
from moco.study.parts import Cell, Measure, Study
from moco.study.picture import draw_picture
from moco.study.results import (
    CellResult,
    Line,
    as_csv,
    as_markdown,
    from_log,
    line,
    read_result,
    starts,
    table,
    verdicts,
    write_result,
)


@dataclass(frozen=True)
class Studied:
    """What a study has found so far."""

    folder: Path
    head: list[str]
    rows: list[list[str]]
    verdicts: list[str]
    left: int
    """Cells that other processes are training."""


@dataclass(frozen=True)
class _Training:
    """One cell with one seed."""

    cell: Cell
    recipe: Recipe
    run: Path
    result: Path


def study(
    name: str,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str] = "studies",
    *,
    seeds: int = 3,
    watch: str | os.PathLike[str] | None = None,
    base: str | Recipe = "auto",
    views: str | None = None,
    changes: dict[str, Any] | None = None,
    cells: Sequence[str] = (),
    retry: bool = False,
    machine: Machine | None = None,
    tell: Teller | None = None,
) -> Studied:
    """Train what is missing of a study, and write its table and picture to `out`/`name`; the same call goes on.

    The score is kNN on `watch`, with the features of the backbone, at the end; without `watch` it is the effective
    rank. `changes` sets fields of the base recipe, `cells` names the cells to train, `retry` trains failed ones again.
    Several processes may work on one study: each takes the next cell that nobody has trained or is training. A cell
    that cannot be trained is a result. Raises MocoError where the study itself makes no sense, and Stopped at Ctrl-C.
    """
    tell, changes = tell or Silent(), changes or {}
    if name not in STUDIES:
        raise MocoError(f"there is no study {name!r}; take {', '.join(STUDIES)}")
    if seeds < 1:
        raise MocoError(f"--seeds {seeds}: must be at least 1")
    source = open_source(data)
    facts = survey(source)
    fit = partial(_fit, base, changes, lambda c: choose_recipe(base, source, facts, views, c, Silent()))
    planned = STUDIES[name](fit, len(source))
    _refuse_what_the_study_varies(planned, changes)
    measures = planned.measures if watch is not None else _without_labels(planned.measures)
    if watch is not None:
        open_labelled(watch)  # rather now than after the first epoch
    elif "rank" in measures:
        tell.note("no --watch: cells are compared by effective rank, which needs no labels, in place of kNN")
    folder = Path(out) / name
    machine = _one_precision(machine or Machine(), folder)
    trainings = _trainings(planned, fit, folder, seeds, cells)
    if planned.scaled:
        tell.note(f"{planned.title}: {planned.scaled}")
    work = partial(_train, data=data, watch=watch, machine=machine)
    _work(planned, trainings, work, retry, tell, lambda: _write(planned, folder, seeds, measures))
    found = _write(planned, folder, seeds, measures)
    left = sum(not t.result.exists() for t in trainings)
    return replace(found, left=left)


def _fit(
    base: str | Recipe, changes: dict[str, Any], choose: Callable[[dict[str, Any]], Recipe], more: dict[str, Any]
) -> Recipe:
    judged = {"knn.features": "backbone"}  # what the papers' linear classifiers see, with any head
    return choose(judged | more | changes)


def _refuse_what_the_study_varies(planned: Study, changes: dict[str, Any]) -> None:
    for field in changes:
        if planned.varies(field):
            flag = "--" + field.replace("_", "-")
            raise MocoError(f"{flag} is what the study {planned.name} varies; leave it out, or train single runs")


def _without_labels(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    return tuple("rank" if m == "knn" else m for m in measures)


def _one_precision(machine: Machine, folder: Path) -> Machine:
    """The same precision for all cells: as the machine says, or as was measured when the study began."""
    if machine.precision != "auto":
        return machine
    file = folder / "precision.txt"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(file, "bf16" if place(machine).bf16 else "fp32")
    return replace(machine, precision="bf16" if file.read_text() == "bf16" else "fp32")


def _trainings(
    planned: Study, fit: Callable[[dict[str, Any]], Recipe], folder: Path, seeds: int, only: Sequence[str]
) -> list[_Training]:
    """All cells with the first seed, then all with the second: an early look shows a whole picture."""
    labels = [cell.label for cell in planned.cells]
    for label in only:
        if label not in labels:
            raise MocoError(f"there is no cell {label!r} in {planned.name}; its cells are {'; '.join(labels)}")
    trainings = []
    start = fit({})
    for seed in range(start.seed, start.seed + seeds):
        for cell in planned.cells:
            if only and cell.label not in only:
                continue
            recipe = override(start, {**cell.changes, "seed": seed, "name": f"{planned.name}: {cell.label}"})
            run, result = _places(folder, cell, seed - start.seed)
            trainings.append(_Training(cell, recipe, run, result))
    return trainings


def _places(folder: Path, cell: Cell, seed: int) -> tuple[Path, Path]:
    words = "".join(c if c.isalnum() or c in ".+" else "-" for c in cell.label.replace(",", "").lower())
    return folder / "runs" / f"{words}-seed{seed}", folder / "results" / f"{words}-seed{seed}.json"


def _work(
    planned: Study,
    trainings: Sequence[_Training],
    work: Callable[..., CellResult],
    retry: bool,
    tell: Teller,
    draw: Callable[[], object],
) -> None:
    """Train each cell that has no result and that no other process has in hand."""
    for number, training in enumerate(trainings, 1):
        done = read_result(training.result)
        if done is not None and not (retry and done.failed):
            _refuse_another_recipe(training, done)
            continue
        tell.note(f"{planned.name}, {number} of {len(trainings)}: {training.run.name}")
        try:
            if planned.own_process:
                result = _in_a_fresh_process(partial(work, training.recipe, training.run))
            else:
                result = work(training.recipe, training.run, tell=tell)
        except InUse:
            tell.note("  another process has it; on to the next")
            continue
        except MocoError as error:
            tell.note(f"  failed: {error}")
            result = CellResult(failed=str(error), recipe=to_json(training.recipe))
        write_result(training.result, result)
        draw()


def _refuse_another_recipe(training: _Training, done: CellResult) -> None:
    if from_json(done.recipe) != training.recipe:
        raise MocoError(
            f"{training.result} is of another recipe than is asked for now; repeat the first command, or name another "
            "--out"
        )


class _Quiet(Silent):
    """Shows nothing of a cell but its scores."""

    def __init__(self, tell: Teller) -> None:
        self._tell = tell

    def row(self, row: dict[str, Any], step: int, steps: int, seconds_left: float | None) -> None:
        """Scores at the end."""
        if "loss" not in row and step == steps:
            self._tell.row(row, step, steps, seconds_left)


def _train(
    recipe: Recipe,
    run: Path,
    *,
    data: str | os.PathLike[str],
    watch: str | os.PathLike[str] | None,
    machine: Machine,
    tell: Teller | None = None,
) -> CellResult:
    """Train one cell to its end; what it came to."""
    check(recipe)
    pretrain(data, run, recipe, watch=watch, machine=machine, tell=_Quiet(tell or Silent()))
    return from_log(read_log(run / "log.jsonl"), to_json(recipe))


def _in_a_fresh_process(work: Callable[[], CellResult]) -> CellResult:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work).result()


def _measured(work: Callable[[], CellResult]) -> CellResult:
    """The result with the most memory that training took: on a GPU, or of this process above what it had before."""
    gc.collect()
    before = _peak_gib()
    result = work()
    memory = (
        torch.cuda.max_memory_allocated() / 2**30
        if torch.cuda.is_available() and torch.cuda.max_memory_allocated()
        else _peak_gib() - before
    )
    return replace(result, scores={**result.scores, "memory": memory})


def _peak_gib() -> float:
    """The most memory this process has had; a parent's does not count, which it does in the resource usage on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        for words in map(str.split, status.read_text().splitlines()):
            if words and words[0] == "VmHWM:":
                return int(words[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def _write(planned: Study, folder: Path, seeds: int, measures: Sequence[Measure]) -> Studied:
    """Table, page and picture from the results there are."""
    results: dict[str, list[CellResult]] = {}
    lines: list[Line] = []
    for cell in planned.cells:
        read = [read_result(_places(folder, cell, seed)[1]) for seed in range(seeds)]
        results[cell.label] = [r for r in read if r is not None]
        lines.append(line(cell, results[cell.label], measures))
    head, rows = table(planned, lines, measures)
    said = verdicts(planned, lines, measures) + starts([r for found in results.values() for r in found], measures)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "table.csv", as_csv(head, rows))
    write_text(folder / "table.md", as_markdown(planned, head, rows, said))
    write_atomically(folder / "picture.png", lambda file: draw_picture(file, planned, lines, results, measures))
    return Studied(folder, head, rows, said, 0)
