"""A run at work: the training begun or gone on with, what is watched on the way, and its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moco import distributed
from moco.commands.captions import Heard, PairWatch, ZeroShotWatch
from moco.commands.conclude import look_before
from moco.commands.expect import expect
from moco.commands.init import Beginning
from moco.commands.initialise import begin_
from moco.commands.start import Start
from moco.commands.watch import KNNWatch
from moco.data.groups import Groups
from moco.data.labelled import Labelled
from moco.data.loader import Plan
from moco.encoder import norm_words
from moco.fast import choose_fast
from moco.labelfree import LabelFree
from moco.loop import Watch, pretrain_loop
from moco.preprocess import Preprocess
from moco.recipe import Recipe
from moco.run.checkpoint import resume
from moco.run.show import Show
from moco.towers import TwoTowers
from moco.training import Training, build_training
from moco.two_views import Views
from moco.watching import Function, watchers


@dataclass(frozen=True)
class Given:
    """What a training is given beside its recipe and its images."""

    begin: Beginning
    """What it starts from."""
    watched: Labelled | None = None
    """Labelled images that kNN is measured on."""
    functions: Sequence[Function] = ()
    """Functions of the user's that are called as often."""
    until: int | None = None
    """The epoch after which it stops, saved."""
    groups: Groups | None = None
    """Which images show the same."""
    heard: Heard | None = None
    """The captions of the images."""
    prompt: str = "{}"
    """What is said of a class to classify by text."""


def train(start: Start, recipe: Recipe, given: Given, show: Show) -> None:
    """Begin the training or go on with it, to its end or to `given.until`; raises Stopped where it is asked to stop."""
    run, source, machine, placement, tell = start.run, start.source, start.machine, start.placement, start.tell
    heard, groups = given.heard, given.groups
    told = None if heard is None else heard.told
    training = build_training(recipe, len(source), placement, machine.parts, groups, told)
    if words := norm_words(training.model.query_encoder, recipe.encoder):
        tell.note(words)
    plan = Plan.of(recipe, source, distributed.number(), distributed.count(), groups)
    if resume(training, run, tell):
        if training.step >= plan.steps:
            tell.note(f"{run.path} is finished ({training.step:,} steps); nothing is left to do")
            return
        tell.note(f"going on from step {training.step:,} of {plan.steps:,}")
    else:
        begin_(training, given.begin, run, tell.note)
        if not run.read("auto.json"):
            expect(start, recipe, plan.steps - training.step)  # what it starts from may be a run at its step
        look_before(start, recipe, training.model.query_encoder)
    fast, why = choose_fast(
        training, machine.compiles(placement.device.type), start.kept_fast, plan.steps - training.step, tell.note
    )
    if why:
        tell.note(why)
    start.write_down(fast, why)
    preprocess = Preprocess.of(recipe)
    scores = LabelFree(source, recipe, Views(recipe), preprocess, placement)
    watch = _watches(training, preprocess, given, start)
    own = watchers(given.functions, training, plan.steps, preprocess, run.path, tell.note)
    loader = start.loader(training.views)
    pretrain_loop(training, plan, loader, run, machine, show, scores, [*watch, *own], start.skipped, given.until)


def _watches(training: Training, preprocess: Preprocess, given: Given, start: Start) -> list[Watch]:
    """What is measured now and then on labelled images, and on pairs of images and captions that are held out."""
    recipe, placement, heard, watched = training.recipe, start.placement, given.heard, given.watched
    found: list[Watch] = []
    if watched is not None:
        found.append(KNNWatch(watched, recipe, preprocess, placement, start.machine.decoders))
    if heard is not None and isinstance(training.model, TwoTowers):
        model, pixels = training.model, recipe.pixels
        found.append(PairWatch(heard, model, pixels, preprocess, placement))
        if watched is not None:
            found.append(ZeroShotWatch(watched, heard, model, pixels, preprocess, placement, given.prompt))
    return found
