"""`moco transfer`: fine-tune on the papers' tasks, from several starts side by side."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moco import distributed
from moco.commands.logged import logged_trial
from moco.commands.tell import Teller, listener
from moco.commands.transfer_page import write_page
from moco.device import Placement, find_device, place_all
from moco.errors import MocoError
from moco.loggers.table import refuse_unknown_or_missing
from moco.machine import Machine
from moco.ops import draw
from moco.run.checkpoint import resume
from moco.run.directory import DataRecord, RunDirectory, claim_run, refuse_unwritable
from moco.run.skipped import SkipBudget
from moco.transfer.batches import Loader, own_groups
from moco.transfer.curves import draw_curves
from moco.transfer.densepose import export_densepose
from moco.transfer.gallery import write_gallery
from moco.transfer.judging import Judge
from moco.transfer.layouts.annotated import Part, read_as, refuse_complaints, summary
from moco.transfer.layouts.open import open_parts
from moco.transfer.loop import transfer_loop
from moco.transfer.made_of import made_of
from moco.transfer.model_file import save_model
from moco.transfer.recipe import RECIPE, TASKS, Transfer, Trial
from moco.transfer.results import Outcome, headline, write_results
from moco.transfer.starts import RANDOM, Start, open_starts, read_in_words
from moco.transfer.tuning import build_tuning, tune_step

LOOKS = 10
"""How often a model is judged on the way, where nothing is said."""


@dataclass(frozen=True)
class Planned:
    """One fine-tuning that is to be done."""

    start: Start
    trial: Trial
    learnt: Part
    """What it learns from: the training images, or a share of them."""

    @property
    def folder(self) -> str:
        """Its place in the folder of all."""
        share = "" if self.trial.labels == 1 else f"-labels{self.trial.labels:g}"
        return f"{self.start.name}{share}-seed{self.trial.seed}"


def transfer(
    task: str | Transfer,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    start: Sequence[str] = ("random",),
    *,
    train: str | None = None,
    test: str | None = None,
    labels: Sequence[float] = (1.0,),
    seeds: Sequence[int] = (0,),
    backbone: str = "resnet50",
    looks: int = LOOKS,
    machine: Machine | None = None,
    tell: Teller | None = None,
    log: Sequence[str] = (),
) -> Path:
    """Fine-tune each start with each share of the labels and each seed; the folder `out`, with a table of all.

    The same call again goes on where it was stopped. `log` names loggers that get each run's rows and recipe.
    Raises MocoError, and Stopped at Ctrl-C.
    """
    machine, out = machine or Machine(), Path(out)
    recipe = named_task(task) if isinstance(task, str) else task
    _refuse_unclear(labels, seeds, start, looks)
    with distributed.processes(machine.device, machine.timeout_seconds):
        tell = listener(tell)
        distributed.on_main(lambda: refuse_unknown_or_missing(log))
        distributed.on_main(lambda: refuse_unwritable(out))
        find_device(machine.device)
        own_groups(recipe)
        starts = distributed.on_each(lambda: open_starts(start, backbone))
        learnt, judged = distributed.on_main(lambda: open_parts(recipe.layout, Path(data).expanduser(), train, test))
        if {*start} == {RANDOM}:
            made = distributed.on_main(lambda: made_of(learnt))
            starts = distributed.on_each(lambda: open_starts(start, backbone, made))
        for part, word in ((learnt, "learn from"), (judged, "judge on")):
            tell.note(f"to {word}: {summary(part)}")
        for line in read_in_words(starts):
            tell.note(line)
        distributed.on_main(lambda: _list_complaints(learnt, judged, out, machine))
        placement = place_all(machine)
        tell.note(placement.reason)
        planned = plan(recipe, starts, learnt, labels, seeds)
        tell.note(_estimate(planned, placement, out))
        for number, one in enumerate(planned, 1):
            tell.note(f"{number} of {len(planned)}: {one.folder}, {one.start.about}")
            _fine_tune(one, judged, out / one.folder, placement, machine, tell, looks, Path(data), log)
        outcomes = [Outcome.read(out / one.folder, one.start.name, one.trial) for one in planned]
        for line in distributed.main_alone(lambda: _told(out, recipe, outcomes, planned, judged)):
            tell.note(line)
    return out


def densepose(start: str, out: str | os.PathLike[str], *, tell: Teller | None = None) -> tuple[Path, Path]:
    """Write (weights, configuration) with which Detectron2 trains DensePose from an encoder; raises MocoError."""
    weights, config = export_densepose(open_starts([start], "resnet50")[0], Path(out))
    if tell is not None:
        tell.note(f"{weights} and {config}: DensePose is trained by Detectron2, not here; {config.name} says how")
    return weights, config


def _told(
    out: Path, recipe: Transfer, outcomes: Sequence[Outcome], planned: Sequence[Planned], judged: Part
) -> list[str]:
    """Write the tables, curves, pictures and page of all that was done; what there is to say about it."""
    lines = write_results(out, recipe, outcomes)
    draw_curves(out / "curves.png", headline(recipe), outcomes)
    first = [one for one in planned if (one.trial.labels, one.trial.seed) == _first(planned)]
    pictures = write_gallery(out / "pictures", judged, [(o.start.name, out / o.folder / "model.pt") for o in first])
    page = write_page(out, recipe, outcomes, pictures)
    return [*lines, "", f"{page} shows them with curves and pictures"]


def _first(planned: Sequence[Planned]) -> tuple[float, int]:
    """The largest share of the labels, and the first seed: what pictures are drawn of."""
    return max(one.trial.labels for one in planned), planned[0].trial.seed


def named_task(name: str) -> Transfer:
    """The recipe of a task; raises MocoError where there is none of this name."""
    if name not in TASKS:
        raise MocoError(f"there is no task {name!r}; the tasks are {', '.join(TASKS)}, densepose")
    return TASKS[name]()


def plan(
    recipe: Transfer, starts: Sequence[Start], learnt: Part, labels: Sequence[float], seeds: Sequence[int]
) -> list[Planned]:
    """All that is to be done; what is compared stands side by side in time."""
    return [
        Planned(
            start,
            Trial(recipe=recipe, start=start.name, labels=share, seed=seed),
            read_as(share_of(learnt, share, seed), start.pixels),
        )
        for share in labels
        for seed in seeds
        for start in starts
    ]


def share_of(part: Part, share: float, seed: int) -> Part:
    """A share of the images, the same for every start; a smaller one is part of a larger one.

    Images without a thing are left out of detection, as there is nothing to learn from them.
    """
    images = [one for one in part.images if one.mask is not None or any(not thing.crowd for thing in one.things)]
    if not images:
        raise MocoError("no training image has an annotation that can be learnt from")
    names = [draw.stream(one.path.name) for one in images]
    rank = np.argsort(draw.counter(draw.stream("labels"), seed, np.array(names, dtype=np.int64)), kind="stable")
    kept = np.sort(rank[: max(1, round(share * len(images)))])
    return dataclasses.replace(part, images=tuple(images[i] for i in kept))


def _fine_tune(
    one: Planned,
    judged: Part,
    path: Path,
    placement: Placement,
    machine: Machine,
    tell: Teller,
    looks: int,
    data: Path,
    log: Sequence[str],
) -> None:
    run = RunDirectory(path, RECIPE)
    record = DataRecord(str(data.expanduser().resolve()), len(one.learnt.images), _fingerprint(one.learnt, judged))
    distributed.refuse_difference({"the images it sees": record.fingerprint})
    distributed.on_main(lambda: claim_run(run, one.trial, machine, record))
    try:
        start = one.start
        t = build_tuning(one.trial, start.backbone(one.trial.seed), start.normalize, one.learnt, placement)
        steps = one.trial.recipe.schedule.steps
        if resume(t, run, tell):
            if t.step >= steps:
                tell.note(f"{path} is finished ({t.step:,} steps)")
                return
            tell.note(f"going on from step {t.step:,} of {steps:,}")
        skipped = SkipBudget(run, lambda i: one.learnt.images[i].name, len(one.learnt.images), machine.max_skipped)
        loader = Loader(one.trial.recipe, one.learnt, one.trial.seed, machine.decoders, machine.memory_gib)
        judge = Judge(
            one.trial.recipe,
            read_as(judged, start.pixels),
            start.normalize,
            placement,
            machine.decoders,
            path / "predictions",
        )
        with logged_trial(tell, log, path, one.trial, machine) as told:
            transfer_loop(
                t,
                loader,
                run,
                machine,
                told,
                judge,
                lambda tuning, file: save_model(file, tuning, start.architecture, one.learnt),
                skipped,
                looks,
            )
    finally:
        run.unlock()


def _estimate(planned: Sequence[Planned], placement: Placement, out: Path) -> str:
    """How long all will take, by one step of a copy of the first, which changes nothing."""
    unfinished = [one for one in planned if not (out / one.folder / "checkpoints" / "last.pt").exists()]
    if not unfinished:
        return "all were started before; each goes on from its last checkpoint"
    one = unfinished[0]
    t = build_tuning(one.trial, one.start.backbone(one.trial.seed), one.start.normalize, one.learnt, placement)
    batches = Loader(one.trial.recipe, one.learnt, one.trial.seed, 0).steps(0)
    first = next(batches)
    seconds = []
    for _ in range(3):  # the first ones also get memory
        begun = time.monotonic()
        tune_step(t, first)
        seconds.append(time.monotonic() - begun)
    steps = one.trial.recipe.schedule.steps
    hours = min(seconds) * steps / 3600
    many = f", {hours * len(unfinished):.1f} h for all {len(unfinished)}" if len(unfinished) > 1 else ""
    return (
        f"a step of {one.trial.recipe.batch} images takes about {min(seconds):.2g} s here: {_time(hours)} for "
        f"{steps:,} steps{many.replace(f'{hours * len(unfinished):.1f} h', _time(hours * len(unfinished)))}, "
        "besides judging"
    )


def _time(hours: float) -> str:
    if hours < 1 / 40:
        return f"{hours * 3600:.0f} s"
    if hours < 1.5:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def _list_complaints(learnt: Part, judged: Part, out: Path, machine: Machine) -> None:
    """Write what makes no sense beside the runs; raises MocoError where it is too much."""
    complaints = [*learnt.complaints, *judged.complaints]
    listed = out / "complaints.txt"
    if complaints:
        from moco.run.atomic import write_text

        out.mkdir(parents=True, exist_ok=True)
        write_text(listed, "".join(f"{one}\n" for one in complaints))
    for part in (learnt, judged):
        refuse_complaints(part, machine.max_skipped, str(listed))


def _fingerprint(learnt: Part, judged: Part) -> str:
    import hashlib

    digest = hashlib.sha256(repr((learnt.classes, learnt.points)).encode())
    for part in (learnt, judged):
        for image in part.images:
            things = [(thing.box, thing.label) for thing in image.things]
            digest.update(repr((image.path.name, image.width, image.height, things)).encode())
    return digest.hexdigest()


def _refuse_unclear(labels: Sequence[float], seeds: Sequence[int], start: Sequence[str], looks: int) -> None:
    if not start:
        raise MocoError("--start is missing: give an encoder (a run, a file, torchvision:NAME=FILE) or random")
    if not labels or not all(0 < share <= 1 for share in labels):
        raise MocoError(f"--labels {','.join(f'{v:g}' for v in labels)}: shares above 0, up to 1, such as 0.1,0.5,1")
    if not seeds or min(seeds) < 0:
        raise MocoError("--seeds: whole numbers from 0 on, such as 0,1,2")
    if looks < 1:
        raise MocoError(f"--looks {looks}: must be at least 1")
