"""`moco pretrain`: from images without labels to a run directory."""

from __future__ import annotations

import dataclasses
import os
import time as clock
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moco import distributed
from moco.auto.pace import Pace
from moco.backbones import refuse_unknown
from moco.commands.ask import Ask, goes_on
from moco.commands.captions import Heard, PairWatch, ZeroShotWatch, hear, refuse_pieces, refuse_prompt, say
from moco.commands.choose import choose_recipe, named_recipe
from moco.commands.conclude import conclude, look_before
from moco.commands.expect import expect
from moco.commands.fit import fit, usual
from moco.commands.init import Beginning, beginning
from moco.commands.initialise import begin_, weights_of
from moco.commands.logged import finish, logged
from moco.commands.made_of import made_of, tell_beyond
from moco.commands.pairs import AskedPairs, paired, said
from moco.commands.start import Start, record_of, start
from moco.commands.tell import Teller, listener
from moco.commands.watch import KNNWatch, open_watched
from moco.data.decide import Asked, Decided
from moco.data.groups import Groups
from moco.data.left_out import FILE, left_out, tally
from moco.data.loader import Plan
from moco.data.open import Labelled, open_source
from moco.data.pieces import pieces
from moco.data.seen import seen
from moco.data.shard_store import Store
from moco.data.source import Source
from moco.data.survey import survey
from moco.device import find_device
from moco.dictionary import refuse_a_queue_larger_than_the_data
from moco.encoder import norm_words
from moco.errors import MocoError
from moco.fast import choose_fast
from moco.labelfree import LabelFree
from moco.loggers.table import refuse_unknown_or_missing
from moco.loop import Watch, pretrain_loop
from moco.machine import Machine
from moco.preprocess import Preprocess
from moco.recipe import Recipe, check, named_views
from moco.recipe.auto import FEWEST_IMAGES
from moco.run.atomic import write_text
from moco.run.checkpoint import resume
from moco.run.directory import RunDirectory, claim_run, refuse_unusable
from moco.run.show import Show
from moco.towers import TwoTowers
from moco.training import build_training
from moco.two_views import Views
from moco.watching import Function, Watched, sorted_out, watchers


def pretrain(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    recipe: str | Recipe = "auto",
    *,
    time: str | None = None,
    views: str | None = None,
    watch: Watched | Sequence[Watched] | None = None,
    init: str | os.PathLike[str] | None = None,
    machine: Machine | None = None,
    changes: dict[str, Any] | None = None,
    tell: Teller | None = None,
    until: int | None = None,
    asked: Asked | None = None,
    log: Sequence[str] = (),
    pairs: AskedPairs | str | None = None,
    prompt: str = "{}",
) -> Path:
    """Train an encoder on images without labels; the run directory `out`, ready for `load`.

    `recipe` is a Recipe, the name of one (`auto`, `v2`, ...), a JSON file of one, or `file.py:function`; `changes` sets
    fields of it by dotted name (`{"optim.lr": 0.1}`). `time` is what `auto` may take in all, as in `20m`, `2h` or `3d`
    (half an hour on a CPU and two hours on a GPU, where neither it nor a length is given). The same call again goes on
    with a run that was stopped. `watch` names labelled images on which kNN is measured now and then, or functions that
    are called as often (docs/library.md), or a list of both. `init` names what
    to start from instead of random weights: a file of any library (`FILE#PREFIX`), a run, `torchvision:NAME[=FILE]`,
    `timm:NAME[=FILE]`. `until` stops after so many epochs, saved and without a report; a later call goes on. `asked`
    says what images are made of where looking at them should not. `log` names loggers (`wandb`, `mlflow`, `trackio`)
    that get the rows, the recipe and the pictures too. `pairs` says which images show the same, so that they are one
    another's positives. `prompt` is the sentence in which image-text names the classes of `watch`. Raises MocoError,
    and Stopped at Ctrl-C.
    """
    began = clock.monotonic()
    labelled, functions = sorted_out(watch)
    machine, out = machine or Machine(), Path(out)
    ask = Ask(time, views, changes or {})
    with distributed.processes(machine.device, machine.timeout_seconds):
        tell = listener(tell)
        distributed.on_main(lambda: refuse_unknown_or_missing(log))
        distributed.on_main(lambda: refuse_unusable(out))  # what is quickly said comes before what takes time
        find_device(machine.device)
        recipe = named_recipe(recipe) if isinstance(recipe, str) and recipe != "auto" else recipe
        ask.refuse_contradiction(recipe)
        if views is not None:
            named_views(views)
        run = RunDirectory(out)
        begin = beginning(run, init, recipe, ask.changes)
        ask = dataclasses.replace(ask, changes=begin.fields | ask.changes)
        whole = source = open_source(data, Store(machine.cache_gib, machine.retry_seconds))
        refuse_prompt(prompt)
        if (heard := hear(data, whole, recipe, ask.changes, run)) is not None:
            source = heard.learnt.source
            say(heard, tell)
        facts = distributed.on_main(lambda: survey(source))
        tell.note(f"{source.description}; half of them have a short side of {facts.short_side} px or less")
        made = distributed.on_main(lambda: made_of(out, recipe, source, facts, asked))
        images = distributed.on_each(lambda: pieces(source, made.pixels))
        _say(source, images, made, out, tell)
        if heard is not None:
            refuse_pieces(images, source)
        facts = made.seen(facts, len(images))
        ask = dataclasses.replace(ask, made=made)
        chosen = distributed.on_main(lambda: _kept(run, recipe, ask))
        if chosen is None and recipe == "auto" and _is_measured(ask, source):
            _refuse_to_measure(machine)
            _refuse(usual(facts, ask), images)
        else:
            chosen = chosen or distributed.on_main(
                lambda: choose_recipe(recipe, source, facts, views, ask.changes, tell, made)
            )
        known = paired(AskedPairs(pairs) if pairs is None or isinstance(pairs, str) else pairs, chosen, images)
        if known.known is not None and known.part is not None:
            for line in said(known.known, known.part):
                tell.note(line)
        if chosen is not None:
            chosen = known.into(chosen)
            _refuse(chosen, images)
        watched = open_watched(labelled) if labelled is not None else None
        record = record_of(data, whole)
        distributed.on_main(run.open)
        try:
            if chosen is not None:
                claimed = chosen
                distributed.on_main(lambda: claim_run(run, claimed, machine, record))
            begun = start(run, seen(images, made.pixels), facts, machine, tell)
            tell_beyond(begun.source, images, tell)  # of those in memory; of others when all have been read
            show: Show = tell
            if chosen is None:
                chosen = fitted = known.into(fit(begun, ask, began, watched, weights_of(begin)))
                _refuse(fitted, images)
                distributed.on_main(lambda: claim_run(run, fitted, machine, record))
                if (seconds := ask.seconds(begun.placement.device.type)) is not None:
                    show = Pace(tell, began, seconds)
            distributed.on_main(lambda: known.keep(run))
            if heard is not None:
                distributed.on_main(lambda: heard.keep(run))
            if beside := left_out(source):
                distributed.on_main(lambda: write_text(out / FILE, beside.listed()))
            with logged(show, log, begun, chosen) as told:
                _pretrain(begun, begin, chosen, watched, functions, until, told, known.groups, heard, prompt)
                if begun.memory is None:
                    tell_beyond(begun.source, images, tell)
                if until is not None:
                    return out
                conclude(begun, chosen)
                page = distributed.on_main(lambda: finish(told, out))
                tell.note(f"{page} shows the run; moco.load({str(out)!r}) gives the encoder: the backbone's features")
                tell.note("features='whitened' makes every main axis count alike: try both where neighbours matter")
        finally:
            run.unlock()
    return out


def _kept(run: RunDirectory, recipe: str | Recipe, ask: Ask) -> Recipe | None:
    """What `auto` chose when the run began, where it goes on: nothing is measured and searched again."""
    if recipe != "auto" or not run.checkpoint.exists() or not goes_on(run.read("auto.json"), ask, run.path):
        return None
    return ask.into(run.recipe())


def _say(source: Source, images: Source, made: Decided, out: Path, tell: Teller) -> None:
    """What is left out, what images are made of, and how many they are."""
    if said := tally(source):
        tell.note(f"{said}; {out / FILE} lists them")
    for line in made.lines:
        tell.note(line)
    if images is not source:
        tell.note(images.description)


def _is_measured(ask: Ask, source: Source) -> bool:
    """Whether something is open that only trying it out on this machine can tell: the length, or the views."""
    length_is_set = ask.time is None and (ask.length_is_set or source.hints.steps is not None)
    return not (length_is_set and (ask.views_are_set or source.hints.views is not None))


def _refuse_to_measure(machine: Machine) -> None:
    if machine.reproducible:
        raise MocoError(
            "--machine.reproducible: auto fits a run to the time by measuring this machine, never twice the same; name "
            "--steps (or --epochs) and --views, or the recipe.json of a run that was fitted"
        )


def _pretrain(
    start: Start,
    begin: Beginning,
    recipe: Recipe,
    watched: Labelled | None,
    functions: Sequence[Function],
    until: int | None,
    show: Show,
    groups: Groups | None,
    heard: Heard | None,
    prompt: str,
) -> None:
    run, source, machine, placement, tell = start.run, start.source, start.machine, start.placement, start.tell
    training = build_training(
        recipe, len(source), placement, machine.parts, groups, None if heard is None else heard.told
    )
    if words := norm_words(training.model.query_encoder, recipe.encoder):
        tell.note(words)
    plan = Plan.of(recipe, source, distributed.number(), distributed.count(), groups)
    if resume(training, run, tell):
        if training.step >= plan.steps:
            tell.note(f"{run.path} is finished ({training.step:,} steps); nothing is left to do")
            return
        tell.note(f"going on from step {training.step:,} of {plan.steps:,}")
    else:
        begin_(training, begin, run, tell.note)
        look_before(start, recipe, training.model.query_encoder)
        if not run.read("auto.json"):
            expect(start, recipe, plan.steps)
    fast, why = choose_fast(
        training, machine.compiles(placement.device.type), start.kept_fast, plan.steps - training.step, tell.note
    )
    if why:
        tell.note(why)
    start.write_down(fast, why)
    preprocess = Preprocess.of(recipe)
    scores = LabelFree(source, recipe, Views(recipe), preprocess, placement)
    watch: list[Watch] = []
    if watched is not None:
        watch += [KNNWatch(watched, recipe, preprocess, placement, machine.decoders)]
    if heard is not None and isinstance(training.model, TwoTowers):
        model, pixels = training.model, recipe.pixels
        watch += [PairWatch(heard, model, pixels, preprocess, placement)]
        if watched is not None:
            watch += [ZeroShotWatch(watched, heard, model, pixels, preprocess, placement, prompt)]
    own = watchers(functions, training, plan.steps, preprocess, run.path, tell.note)
    loader = start.loader(training.views)
    pretrain_loop(training, plan, loader, run, machine, show, scores, [*watch, *own], start.skipped, until)


def _refuse(recipe: Recipe, source: Source) -> None:
    """Raise MocoError for what cannot be trained on so many images, or at all."""
    check(recipe)
    if len(source) < recipe.batch:
        raise MocoError(
            f"{len(source)} images are fewer than one batch of {recipe.batch}; "
            + ("lower --batch, or use the recipe auto" if len(source) >= FEWEST_IMAGES else "give more images")
        )
    refuse_a_queue_larger_than_the_data(recipe, len(source))
    refuse_unknown(recipe.encoder.backbone)
