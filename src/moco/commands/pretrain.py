"""`moco pretrain`: from images without labels to a run directory."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from moco import distributed
from moco.backbones import refuse_unknown
from moco.commands.choose import choose_recipe, named_recipe
from moco.commands.made_of import made_of
from moco.commands.tell import Silent, Teller
from moco.commands.watch import KNNWatch, open_watched
from moco.data.decide import Asked
from moco.data.left_out import FILE, left_out, tally
from moco.data.loader import Loader, MemoryLoader, Plan, WorkerLoader
from moco.data.memory import load_memory
from moco.data.open import Labelled, open_source
from moco.data.pieces import pieces
from moco.data.seen import seen
from moco.data.shard_names import is_url, names_shards
from moco.data.shard_store import Store
from moco.data.source import Source, fingerprint
from moco.data.survey import Survey, survey
from moco.device import Placement, find_device, place_all
from moco.dictionary import refuse_a_queue_larger_than_the_data
from moco.errors import MocoError
from moco.fast import choose_fast
from moco.labelfree import LabelFree
from moco.loop import pretrain_loop
from moco.machine import Machine
from moco.preprocess import Preprocess
from moco.recipe import Recipe, named_views
from moco.recipe.auto import FEWEST_IMAGES
from moco.run.atomic import write_text
from moco.run.checkpoint import resume
from moco.run.directory import DataRecord, RunDirectory, claim_run, refuse_unusable
from moco.run.skipped import SkipBudget
from moco.training import build_training
from moco.views import Views


def pretrain(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    recipe: str | Recipe = "auto",
    *,
    views: str | None = None,
    watch: str | os.PathLike[str] | None = None,
    machine: Machine | None = None,
    changes: dict[str, Any] | None = None,
    tell: Teller | None = None,
    until: int | None = None,
    asked: Asked | None = None,
) -> Path:
    """Train an encoder on images without labels; the run directory `out`, ready for `load`.

    `recipe` is a Recipe, the name of one (`auto`, `v2`, ...), a JSON file of one, or `file.py:function`; `changes` sets
    fields of it by dotted name (`{"optim.lr": 0.1}`). The same call again continues a run that was stopped. `watch`
    names labelled images on which kNN is measured now and then. `until` stops after so many epochs of the recipe,
    saved and without a report; a later call goes on. `asked` says what images are made of where looking at them should
    not. Raises MocoError, and Stopped at Ctrl-C.
    """
    machine, out = machine or Machine(), Path(out)
    with distributed.processes(machine.device, machine.timeout_seconds):
        tell = tell if tell is not None and distributed.main_process() else Silent()
        distributed.on_main(lambda: refuse_unusable(out))  # what is quickly said comes before what takes time
        find_device(machine.device)
        recipe = named_recipe(recipe) if isinstance(recipe, str) and recipe != "auto" else recipe
        if views is not None:
            named_views(views)
        source = open_source(data, Store(machine.cache_gib, machine.retry_seconds))
        facts = distributed.on_main(lambda: survey(source))
        tell.note(f"{source.description}; half of them have a short side of {facts.short_side} px or less")
        made = distributed.on_main(lambda: made_of(out, recipe, source, facts, asked))
        if said := tally(source):
            tell.note(f"{said}; {out / FILE} lists them")
        images = distributed.on_each(lambda: pieces(source, made.pixels))
        if images is not source:
            tell.note(images.description)
        facts = made.seen(facts, len(images))
        chosen = distributed.on_main(lambda: choose_recipe(recipe, source, facts, views, changes or {}, tell, made))
        _refuse_too_few(chosen, images)
        refuse_unknown(chosen.encoder.backbone)
        watched = open_watched(watch) if watch is not None else None
        here = Path(data).exists() or (names_shards(str(data)) and not is_url(str(data)))
        where = str(Path(data).expanduser().resolve()) if here else str(data)
        record = DataRecord(where, len(source), fingerprint(source))
        distributed.refuse_difference({"the images it sees": record.fingerprint})
        run = RunDirectory(out)
        distributed.on_main(lambda: claim_run(run, chosen, machine, record))
        if beside := left_out(source):
            distributed.on_main(lambda: write_text(out / FILE, beside.listed()))
        try:
            _pretrain(run, chosen, seen(images, chosen.pixels), facts, watched, machine, tell, until)
            if until is None:
                page = distributed.on_main(lambda: _report(out))
                tell.note(f"{page} shows the run; moco.load({str(out)!r}) gives the encoder")
        finally:
            run.unlock()
    return out


def _report(out: Path) -> Path:
    from moco.commands.report import report  # half a second of drawing libraries, which the other processes do without

    return report(out)


def _pretrain(
    run: RunDirectory,
    recipe: Recipe,
    source: Source,
    facts: Survey,
    watched: Labelled | None,
    machine: Machine,
    tell: Teller,
    until: int | None,
) -> None:
    saved = distributed.on_main(lambda: run.read("machine.json") if run.checkpoint.exists() else {})
    placement = _place(machine, saved)
    tell.note(placement.reason)
    training = build_training(recipe, len(source), placement)
    plan = Plan.of(recipe, source, distributed.number(), distributed.count())
    if resume(training, run, tell):
        if training.step >= plan.steps:
            tell.note(f"{run.path} is finished ({training.step:,} steps); nothing is left to do")
            return
        tell.note(f"going on from step {training.step:,} of {plan.steps:,}")
    fast, why = choose_fast(training, machine.compile, _kept(machine, saved), plan.steps - training.step, tell.note)
    if why:
        tell.note(why)
    skipped = SkipBudget(run, source.name, len(source), machine.max_skipped)
    small = saved["images"] == "memory" if "images" in saved else facts.fits_in_memory(machine.memory_gib)
    memory = None
    if small:
        memory, unreadable = load_memory(source, machine.decoders, tell.reading("reading images", len(source)))
        skipped.add(unreadable)
    loader: Loader = MemoryLoader(memory) if memory else WorkerLoader(source, training.views, machine.decoders)
    distributed.on_main(
        lambda: _write_down(run, machine, placement, fast, why or saved.get("fast_reason", ""), memory is not None)
    )
    if len(skipped):
        tell.note(f"{len(skipped)} files cannot be read and are left out; {run.skipped} says why")
    preprocess = Preprocess.of(recipe)
    scores = LabelFree(source, recipe, Views(recipe), preprocess, placement)
    watch = [KNNWatch(watched, recipe, preprocess, placement, machine.decoders)] if watched is not None else []
    pretrain_loop(training, plan, loader, run, machine, tell, scores, watch, skipped, until)


def _place(machine: Machine, saved: dict[str, Any]) -> Placement:
    """Where this run computes: what was measured at its start holds when it goes on, so that it goes on exactly."""
    asked = machine
    if machine.precision == "auto" and saved.get("precision") in ("bf16", "fp32"):
        machine = dataclasses.replace(machine, precision=saved["precision"])
    if machine.threads is None and isinstance(saved.get("threads"), int):
        machine = dataclasses.replace(machine, threads=saved["threads"])
    placement = place_all(machine)
    if machine != asked and "placement" in saved:
        placement = dataclasses.replace(placement, reason=saved["placement"])
    return placement


def _kept(machine: Machine, saved: dict[str, Any]) -> list[str] | None:
    """The fast forms that a run which goes on has used; None where they are to be found out."""
    return list(saved.get("fast", [])) if saved and machine.compile == "auto" else None


def _write_down(
    run: RunDirectory, machine: Machine, placement: Placement, fast: list[str], why: str, in_memory: bool
) -> None:
    """What was decided on this machine, for whoever goes on or reads the run."""
    decided = {
        "precision": "bf16" if placement.bf16 else "fp32",
        "threads": placement.threads,
        "images": "memory" if in_memory else "workers",
        "placement": placement.reason,
        "fast": fast,
        "fast_reason": why,
    }
    run.write("machine.json", dataclasses.asdict(machine) | decided)


def _refuse_too_few(recipe: Recipe, source: Source) -> None:
    if len(source) < recipe.batch:
        raise MocoError(
            f"{len(source)} images are fewer than one batch of {recipe.batch}; "
            + ("lower --batch, or use the recipe auto" if len(source) >= FEWEST_IMAGES else "give more images")
        )
    refuse_a_queue_larger_than_the_data(recipe, len(source))
